#!/usr/bin/env bash
# The corpus of attacks (crates/blackbox/tests/attack), made twice: on the build under test, which must hold, and on a build
# with the feature `weakened`, which goes without one wall at a time and must not. `full` counts as the vulnerabilities'
# tests are meant to be run, `short` as many as CI has time for. A canary tree is compared at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
counts=${1:-full}

target=x86_64-unknown-linux-gnu
binary=$PWD/target/$target/debug/berth
weakened=$PWD/target/attack/berth-weakened
mkdir -p "${weakened%/*}"

# One directory for both builds: what no feature touches is shared, and only the last link differs.
cargo build --locked --package berth --features weakened
cp "$binary" "$weakened.new" && mv "$weakened.new" "$weakened"
cargo build --locked --package berth

canary=$(mktemp -d /tmp/berth-canary-XXXXXX)
trap 'rm -rf "$canary"' EXIT
chmod 0755 "$canary"
mkdir "$canary/sub"
printf 'the canary sings' | tee "$canary/secret" >"$canary/sub/secret"
printf 'root:x:0:0::/:/bin/sh\nvictim:x:4242:4242::/:/bin/sh\n' >"$canary/passwd"
ln -s secret "$canary/link"
# Names, kinds, modes, owners, times and contents of the tree; and of the program itself.
fingerprint() {
    tar --sort=name --format=posix --pax-option=exthdr.name=%d/%f,delete=atime -cf - -C "$canary" . | sha256sum
    sha256sum "$binary"
}
before=$(fingerprint)

status=0
BERTH_TEST_BINARY=$binary BERTH_TEST_WEAKENED=$weakened BERTH_TEST_CANARY=$canary BERTH_TEST_ATTACK=$counts \
    cargo nextest run --profile attack --package berth-blackbox --test attack --locked --no-fail-fast \
    --success-output final 2>&1 | tee target/attack.log | grep -vE '^ *(running 1 test|test .* ok|test result: ok.*)?$' || status=$?

echo "bites: $(grep -c '^ *bites: ' target/attack.log) attacks succeed without their wall"
if [ "$before" != "$(fingerprint)" ]; then
    echo "the canary was changed"
    status=1
fi
exit "$status"
