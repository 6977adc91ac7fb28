#!/usr/bin/env bash
# Fuzzes every target of crates/fuzz with libFuzzer, or those that are named, for FUZZ_SECONDS each (60 when unset): no
# crash, no hang of 10 s, no more than 256 MiB. It needs no nightly compiler and no cargo-fuzz. What is found lies in
# target/fuzz/<target>; a case that was mended belongs into fuzz/found/<target>, where the normal suite replays it.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${FUZZ_SECONDS:-60}
# Coverage as libFuzzer reads it; these are the flags that cargo-fuzz gives, without the sanitizer.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
target=x86_64-unknown-linux-gnu
export CARGO_TARGET_DIR=$PWD/target/fuzz/build
cargo build --release --quiet --manifest-path fuzz/Cargo.toml --target $target

[ $# -gt 0 ] || set -- $(cd fuzz/fuzz_targets && ls | sed 's/\.rs$//')
failed=()
for name in "$@"; do
    corpus=target/fuzz/$name/corpus
    mkdir -p "$corpus"
    log=target/fuzz/$name/log
    if "$CARGO_TARGET_DIR/$target/release/$name" "$corpus" $(ls -d "fuzz/seeds/$name" "fuzz/found/$name" 2>/dev/null) \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=256 -max_len=16384 -artifact_prefix="target/fuzz/$name/" \
        -print_final_stats=1 >"$log" 2>&1; then
        echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, peak $(sed -n 's/^stat::peak_rss_mb: *//p' "$log") MiB"
    else
        failed+=("$name")
        echo "$name: FAILED"
        grep -E "panicked|ERROR|SUMMARY|Test unit" "$log" | head -5 || true
    fi
done
[ ${#failed[@]} -eq 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
