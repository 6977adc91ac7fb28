#!/usr/bin/env bash
# The tests of virtual machines: those of their own, then a list of the tests that every isolation has to pass, with
# containers that are machines. Ends with one line of counts. Arguments go to the runner.
#
# BERTH_TEST_VM_LIST=full takes every test of the folders that can be machines, BERTH_TEST_VM_LIST=none none of them;
# without it, some of each folder: they boot machines without hardware help where there is none.
set -euo pipefail
cd "$(dirname "$0")/.."

log=target/test-vm.log
mkdir -p target
: >"$log"
skip() { echo "machines: 0 passed, 0 failed, skipped: $*"; exit 0; }
command -v qemu-system-x86_64 >/dev/null || skip "qemu-system-x86_64 is not installed"

export BERTH_TEST_VM=1
cargo build --locked --package berth
export BERTH_TEST_BINARY=${BERTH_TEST_BINARY:-$PWD/target/x86_64-unknown-linux-gnu/debug/berth}
# One at a time where there are two processors: a machine is as much work for the host as a test.
jobs=$(($(nproc) / 2)); [ "$jobs" -gt 0 ] || jobs=1

run() {
    rm -f target/test-vm.failed
    {
        timeout --kill-after=10 "${BERTH_TEST_VM_LIMIT_S:-900}" \
            cargo nextest run --profile machine --locked --no-fail-fast --test-threads "$jobs" --success-output immediate "$@" 2>&1 ||
            touch target/test-vm.failed
    } | sed -u 's/\x1b\[[0-9;]*m//g' | tee -a "$log" |
        grep -E '^ +(PASS|FAIL|TIMEOUT|SIG[A-Z]+) |^ *skipped: |^error|panicked at|^ *assertion|^ +(left|right): ' || true
    [ ! -e target/test-vm.failed ]
}

status=0
run --package berth-vm --package berth-share --package berth-blackbox -E 'package(berth-vm) or package(berth-share) or test(/^vm::/) or test(/^machine::/)' "$@" || status=1

# The engine in machines of its own: pure cgroup v2, power cuts, and its own monitor on nested KVM.
run --package berth-blackbox -E 'test(/^guest::/) or test(/^clock::/) or test(/^power::/) or test(/^monitor::/)' "$@" || status=1

shared='test(=exec::output_input_and_exit_code) or test(=exec::a_terminal_has_the_wanted_size_and_can_be_resized)
    or test(=logs::streams_can_be_asked_for_alone) or test(=run::exit_codes_are_the_containers_own)
    or test(=run::input_reaches_the_process_and_its_end_too) or test(=archive::cp_goes_in_and_comes_out)
    or test(=archive::diff_names_what_changed) or test(=archive::commit_makes_an_image_that_runs)
    or test(=volume::a_volume_outlives_its_containers) or test(=volume::read_only_binds_refuse_writes)
    or test(=volume::bind_mounts_show_the_hosts_files_with_the_ownership_of_the_host)
    or test(=lifecycle::states_follow_each_other) or test(=lifecycle::stop_asks_first_and_kills_after_the_timeout)
    or test(=lifecycle::auto_remove_leaves_nothing)'
[ "${BERTH_TEST_VM_LIST:-}" = full ] && shared='test(/^(exec|logs|run|archive|volume|lifecycle|health|restart)::/)'
if [ "${BERTH_TEST_VM_LIST:-}" != none ]; then
    BERTH_TEST_ISOLATION=vm run --package berth-blackbox -E "$shared" "$@" || status=1
fi

# A failure is told again at a run's end, and a test that is tried again ends as its last try did: each name counts once.
names() { sed -nE "s/^ +(TRY [0-9]+ )?($1) +\[[^]]*\] +(\([^)]*\) +)?//p" "$log" | sort -u; }
said=$(grep -cE '^ *skipped: ' "$log" || true)
passed=$(names PASS | wc -l)
failed=$(comm -13 <(names PASS) <(names 'FAIL|TIMEOUT|SIG[A-Z]+') | wc -l)
echo "machines: $((passed - said)) passed, $failed failed, $said skipped"
exit "$status"
