#!/usr/bin/env bash
# Runs every test of the workspace, black-box tests against the binary that was built for them included, and closes
# with one plain line of counts. A test that cannot run on this machine prints `skipped: why` and counts as skipped.
# Arguments go to the runner (a test name to filter by, for instance).
set -euo pipefail
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-gnu
log=target/test.log
mkdir -p target

cargo build --locked --package berth
export BERTH_TEST_BINARY=${BERTH_TEST_BINARY:-$PWD/target/$target/debug/berth}
report=target/skipped.txt
: >"$report"

# The output of tests that passed is read for `skipped: why` lines and not shown.
readonly quiet='
    / (PASS|FAIL|TIMEOUT|SIGABRT|SIGSEGV|LEAK|SLOW|TERMINATING) +\[/ { passed = / PASS +\[/; name = $NF; print; next }
    /^──────|^ *Summary / { passed = 0 }
    passed && /^ *skipped: / { sub(/^ *skipped: /, ""); if (!seen[name]++) print name ": " $0 >> report; next }
    !passed { print }'

status=0
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --locked --no-fail-fast --success-output immediate "$@" 2>&1 |
        sed -u 's/\x1b\[[0-9;]*m//g' | awk -v report="$report" "$quiet" | tee "$log" || status=$?
    summary=$(grep -E '^ *Summary ' "$log" | tail -n 1)
    count() { sed -nE "s/.* ([0-9]+) $1.*/\1/p" <<<"$summary"; }
    passed=$(count passed) failed=$(count failed) skipped=$(count skipped)
    timed_out=$(count 'timed out')
    failed=$((${failed:-0} + ${timed_out:-0}))
else
    cargo test --workspace --locked --no-fail-fast "$@" -- --show-output 2>&1 | tee "$log" || status=$?
    total() { sed -nE "s/^test result:.* ([0-9]+) $1.*/\1/p" "$log" | awk '{n += $1} END {print n + 0}'; }
    passed=$(total passed) failed=$(total failed) skipped=$(total ignored)
    grep -E '^ *skipped: ' "$log" >"$report" || true
fi

# What a test itself reported as skipped was counted as passed by the runner.
said=$(wc -l <"$report")
if [ "$said" -gt 0 ]; then
    echo "skipped on this machine:"
    sed 's/^/  /' "$report"
fi
passed=$((${passed:-0} - said)) skipped=$((${skipped:-0} + said))
if [ "$status" -ne 0 ] && [ "${failed:-0}" -eq 0 ]; then
    echo "the test run itself failed (status $status)"
fi
echo "$passed passed, ${failed:-0} failed, $skipped skipped"
exit "$status"
