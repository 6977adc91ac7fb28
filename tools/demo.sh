#!/usr/bin/env bash
# The main job on real input: a Debian image with a real nginx inside, made here, run with limits and a published
# port, asked over HTTP, looked at, stopped, and removed without a trace.
#
# The daemon lives in mount and network namespaces and folders of its own: nothing of the host is touched, and nothing
# stays. With no package mirror in reach the embedded image berth/hello takes Debian's place.
set -Eeuo pipefail

if [ "${BERTH_DEMO_INSIDE:-}" != yes ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "the demo needs root: namespaces, mounts and cgroups are made" >&2
        exit 1
    fi
    BERTH=$(readlink -f "${1:-dist/berth}")
    PLACE=$(mktemp -d /tmp/berth-demo-XXXXXX)
    export BERTH PLACE BERTH_DEMO_INSIDE=yes
    # The image is made out here, where the package mirror is.
    tools=$(dirname "$0")
    status=0
    # BERTH_DEMO_OFFLINE=yes shows what a machine without a mirror gets.
    [ "${BERTH_DEMO_OFFLINE:-}" = yes ] || "$tools/demo-image.sh" "$PLACE/debian.tar" || rm -f "$PLACE/debian.tar"
    unshare --mount --net --propagation private -- bash "$0" || status=$?
    rm -rf --one-file-system "$PLACE"
    exit "$status"
fi

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' plain=$'\e[0m'; else bold='' dim='' green='' plain=''; fi
say() { printf '\n%s── %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '%s   %s%s\n' "$dim" "$*" "$plain"; }
# Shows a command as a user would type it, and runs it against the demo's daemon.
berth() { "$BERTH" -H "unix://$PLACE/engine.sock" "$@"; }
show() {
    local word line=
    for word in "$@"; do
        case $word in
        *[!a-zA-Z0-9_./:=%,@-]*) line+=" '$word'" ;;
        *) line+=" $word" ;;
        esac
    done
    printf '%s$%s%s\n' "$green" "$line" "$plain"
    "$@"
}

cgroup=$(basename "$PLACE")
daemon=
finish() {
    if [ -n "$daemon" ] && kill "$daemon" 2>/dev/null; then wait "$daemon" 2>/dev/null || true; fi
    find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" -exec rmdir {} + 2>/dev/null || true
}
trap finish EXIT
trap 'echo; echo "the demo failed; the daemon said:"; tail -n 20 "$PLACE/daemon.log" || true' ERR

say "A daemon in a place of its own"
note "own mount and network namespace, own folders: $PLACE"
ip link set lo up
"$BERTH" daemon -H "unix://$PLACE/engine.sock" --data-root "$PLACE/data" --exec-root "$PLACE/run" \
    --pidfile "$PLACE/pid" --cgroup-parent "/$cgroup" >"$PLACE/daemon.log" 2>&1 &
daemon=$!
for _ in $(seq 200); do
    berth version >/dev/null 2>&1 && break
    kill -0 "$daemon" 2>/dev/null || { cat "$PLACE/daemon.log"; exit 1; }
    sleep 0.05
done
show berth --version

nothing_left() {
    say "Nothing is left"
    show berth ps -a
    # The last cgroup goes a moment after its last process.
    for _ in $(seq 40); do
        cgroups=$(find /sys/fs/cgroup -mindepth 3 -type d -path "*/$cgroup/*" | wc -l)
        mounts=$(grep -c "$PLACE/.*containers" /proc/self/mountinfo || true)
        links=$(ip -o link | grep -c veth || true)
        [ "$cgroups$mounts$links" = 000 ] && break
        sleep 0.05
    done
    note "cgroups of containers: $cgroups, mounts: $mounts, links: $links"
    [ "$cgroups$mounts$links" = 000 ]
}

if [ ! -s "$PLACE/debian.tar" ]; then
    say "No Debian image could be made here: the embedded image berth/hello takes its place"
    note "it is made from the berth binary itself, so it needs no network"
    show berth run --rm berth/hello
    nothing_left
    say "Done: a container ran"
    exit 0
fi

say "A real Debian image, made from real packages"
show berth import --change 'CMD ["nginx", "-g", "daemon off;"]' --change 'EXPOSE 80' "$PLACE/debian.tar" debian:nginx
show berth images

say "nginx, with 128 MB and half a processor, its port published"
show berth run -d --name web -p 8080:80 --memory 128m --cpus 0.5 debian:nginx
show berth ps

say "Asked over HTTP, through the published port"
for _ in $(seq 100); do
    curl -sf -o /dev/null http://127.0.0.1:8080/ && break
    sleep 0.05
done
show curl -sS -o /dev/null -w '%{http_code}, %{size_download} bytes in %{time_total} s\n' http://127.0.0.1:8080/
curl -sS http://127.0.0.1:8080/ | sed -n 's/.*<h1>\(.*\)<\/h1>.*/   \1/p'

say "What it says, what it uses, what runs in it"
show berth logs web
show berth stats --no-stream web
show berth top web
show berth exec web sh -c 'echo Debian $(cat /etc/debian_version), root is $(awk "{print \$2}" /proc/self/uid_map) outside'

say "Stopped and removed"
show berth stop web
show berth rm web
nothing_left

say "Done"
