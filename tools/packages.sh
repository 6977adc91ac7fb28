#!/usr/bin/env bash
# Installs the Debian packages of the named sets when their programs are missing: build, test, vm, demo, bench.
# With no package mirror in reach it says what is missing; only the set `build` is then an error.
set -euo pipefail

missing=()

# want PROGRAM PACKAGE: note the package when the program is nowhere on the path.
want() {
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing+=("$2")
}

must=0
for set in "$@"; do
    case $set in
    build)
        must=1
        want gcc gcc
        want make make
        [ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
        ;;
    test)
        want busybox busybox-static
        want unshare util-linux
        want nsenter util-linux
        want ip iproute2
        want docker docker.io
        want qemu-img qemu-utils
        want git git
        want python3 python3
        want openssl openssl
        want docker-registry docker-registry
        want skopeo skopeo
        want newuidmap uidmap
        want pasta passt
        want slirp4netns slirp4netns
        want nft nftables
        want iptables iptables
        want mkfs.xfs xfsprogs
        want mkfs.btrfs btrfs-progs
        [ -x /usr/lib/cni/portmap ] || missing+=(containernetworking-plugins)
        ;;
    vm)
        want qemu-system-x86_64 qemu-system-x86
        want busybox busybox-static
        ;;
    demo)
        want curl curl
        want mmdebstrap mmdebstrap
        want ip iproute2
        ;;
    bench)
        want busybox busybox-static
        want docker docker.io
        want dockerd docker.io
        want docker-registry docker-registry
        want ip iproute2
        want iperf3 iperf3
        ;;
    *)
        echo "packages.sh: no set named $set" >&2
        exit 2
        ;;
    esac
done

[ ${#missing[@]} -gt 0 ] || exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if [ "$(id -u)" != 0 ]; then
    echo "packages.sh: missing ${missing[*]}; install them, or run this as root" >&2
    exit "$must"
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
if ! install 2>/dev/null && ! { apt-get update -qq && install; }; then
    echo "packages.sh: no mirror could provide ${missing[*]}" >&2
    exit "$must"
fi
