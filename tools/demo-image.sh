#!/usr/bin/env bash
# Makes the archive of a Debian root file system with nginx: demo-image.sh OUT.tar. Kept in target/ for the next time.
set -euo pipefail
out=$1
cache=$(dirname "$0")/../target/demo/debian-nginx.tar

if [ ! -s "$cache" ]; then
    "$(dirname "$0")/packages.sh" demo
    command -v mmdebstrap >/dev/null || { echo "mmdebstrap is not here and could not be installed"; exit 1; }
    mkdir -p "$(dirname "$cache")"
    echo "making a Debian image with nginx from real packages (a minute)"
    if ! timeout 600 mmdebstrap --quiet --format=tar --variant=minbase --include=nginx-light \
        --customize-hook='ln -sf /dev/stdout "$1/var/log/nginx/access.log"' \
        --customize-hook='ln -sf /dev/stderr "$1/var/log/nginx/error.log"' \
        bookworm "$cache.new"; then
        rm -f "$cache.new"
        echo "no package mirror could provide the image"
        exit 1
    fi
    mv "$cache.new" "$cache"
fi
ln -f "$cache" "$out" 2>/dev/null || cp "$cache" "$out"
