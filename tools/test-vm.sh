#!/usr/bin/env bash
# The tests of virtual machines: those of their own, then a list of the tests that every isolation has to pass, with
# containers that are machines. Arguments go to the runner.
set -euo pipefail
cd "$(dirname "$0")/.."

export BERTH_TEST_VM=1
cargo build --locked --package berth
export BERTH_TEST_BINARY=${BERTH_TEST_BINARY:-$PWD/target/x86_64-unknown-linux-gnu/debug/berth}

cargo nextest run --locked --package berth-vm --package berth-blackbox --no-fail-fast -E 'package(berth-vm) or test(/^vm::/) or test(/^machine::/)' "$@"

# The engine in machines of its own: pure cgroup v2, and power cuts.
cargo nextest run --locked --package berth-blackbox --no-fail-fast -E 'test(/^guest::/) or test(/^power::/)' "$@"

# Each of these boots several machines.
shared='test(/^exec::/) or test(/^logs::/) or test(/^run::/)'
BERTH_TEST_ISOLATION=vm cargo nextest run --locked --package berth-blackbox --no-fail-fast -E "$shared" "$@"
