//! From named rules to ranges of numbers, each with one verdict.

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSyscall};

use super::arch::{ARM_PRIVATE, Abi, X32_BIT};
use super::compare::Comparison;
use super::error::Error;
use super::table::{self, Call};

/// Values a filter returns (seccomp(2)): an action in the upper half, its data in the lower.
pub(super) mod returned {
    pub(in super::super) const KILL_PROCESS: u32 = 0x8000_0000;
    pub(in super::super) const KILL_THREAD: u32 = 0;
    pub(in super::super) const TRAP: u32 = 0x0003_0000;
    pub(in super::super) const ERRNO: u32 = 0x0005_0000;
    pub(in super::super) const NOTIFY: u32 = 0x7fc0_0000;
    pub(in super::super) const TRACE: u32 = 0x7ff0_0000;
    pub(in super::super) const LOG: u32 = 0x7ffc_0000;
    pub(in super::super) const ALLOW: u32 = 0x7fff_0000;
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Rules on arguments, in order: the first of which all comparisons hold decides.
    pub(super) conditions: Vec<Condition>,
    /// What is returned if none does.
    pub(super) otherwise: u32,
}

/// One rule on arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) all: Vec<Comparison>,
    pub(super) returned: u32,
}

/// Verdicts from a first number up to the next entry's; the first entry starts at 0.
pub(super) type Ranges = Vec<(u32, Verdict)>;

impl Verdict {
    fn plain(returned: u32) -> Self {
        Verdict { conditions: Vec::new(), otherwise: returned }
    }
}

/// The value a filter returns for an action; errors and trace data are EPERM unless given.
pub(super) fn value(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(libc::EPERM as u32) & 0xffff;
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => returned::KILL_THREAD,
        LinuxSeccompAction::ScmpActKillProcess => returned::KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => returned::TRAP,
        LinuxSeccompAction::ScmpActErrno => returned::ERRNO | data,
        LinuxSeccompAction::ScmpActNotify => returned::NOTIFY,
        LinuxSeccompAction::ScmpActTrace => returned::TRACE | data,
        LinuxSeccompAction::ScmpActLog => returned::LOG,
        LinuxSeccompAction::ScmpActAllow => returned::ALLOW,
    }
}

/// The calls that a filter names, each with the index of its rule. Unknown names are passed over.
pub(super) fn find_calls(seccomp: &LinuxSeccomp) -> Vec<(Call, usize)> {
    let rules = seccomp.syscalls().iter().flatten().enumerate();
    rules.flat_map(|(at, rule)| rule.names().iter().filter_map(move |name| Some((table::find(name)?, at)))).collect()
}

/// The ranges of the interfaces that share a token.
pub(super) fn ranges(seccomp: &LinuxSeccomp, calls: &[(Call, usize)], abis: &[Abi]) -> Result<Ranges, Error> {
    let default = value(seccomp.default_action(), seccomp.default_errno_ret());
    let rules: Vec<&LinuxSyscall> = seccomp.syscalls().iter().flatten().collect();
    let mut found: Vec<(u32, usize, Abi)> = Vec::with_capacity(calls.len() * abis.len());
    for (call, at) in calls {
        found.extend(abis.iter().filter_map(|abi| Some((call.number(*abi)?, *at, *abi))));
    }
    found.sort_unstable_by_key(|(number, at, _)| (*number, *at));
    let mut numbers: Vec<(u32, Verdict)> = Vec::with_capacity(found.len());
    for same in found.chunk_by(|a, b| a.0 == b.0) {
        numbers.push((same[0].0, verdict(same, &rules, default)?));
    }
    Ok(fill(&numbers, abis, seccomp, default))
}

/// The verdict on one number: rules with comparisons in their order, then the first without.
fn verdict(same: &[(u32, usize, Abi)], rules: &[&LinuxSyscall], default: u32) -> Result<Verdict, Error> {
    let mut conditions = Vec::new();
    let mut otherwise = None;
    for (_, at, abi) in same {
        let rule = rules[*at];
        let returned = value(rule.action(), rule.errno_ret());
        if returned == default {
            continue;
        }
        let comparisons = comparisons(rule, *abi)?;
        if comparisons.is_empty() {
            otherwise = otherwise.or(Some(returned));
        } else if repeats(&comparisons) {
            // As with runc: the same argument compared twice means that either will do.
            conditions.extend(comparisons.into_iter().map(|one| Condition { all: vec![one], returned }));
        } else {
            conditions.push(Condition { all: comparisons, returned });
        }
    }
    let otherwise = otherwise.unwrap_or(default);
    // At the end of the list, a condition that changes nothing needs no test.
    while conditions.last().is_some_and(|condition: &Condition| condition.returned == otherwise) {
        conditions.pop();
    }
    Ok(Verdict { conditions, otherwise })
}

fn comparisons(rule: &LinuxSyscall, abi: Abi) -> Result<Vec<Comparison>, Error> {
    let arguments = rule.args().iter().flatten();
    arguments
        .map(|argument| {
            if argument.index() > 5 {
                let name = rule.names().first().cloned().unwrap_or_default();
                return Err(Error::ArgumentIndex { name, index: argument.index() });
            }
            Ok(Comparison::new(argument, abi.is_wide()))
        })
        .collect()
}

fn repeats(comparisons: &[Comparison]) -> bool {
    comparisons.iter().enumerate().any(|(at, one)| comparisons[..at].iter().any(|other| other.index == one.index))
}

/// Puts the default between the numbers and "no such call" after the last, and joins equal neighbours.
fn fill(numbers: &[(u32, Verdict)], abis: &[Abi], seccomp: &LinuxSeccomp, default: u32) -> Ranges {
    let newer = newer(seccomp, default);
    let mut ranges: Ranges = vec![(0, Verdict::plain(default))];
    let mut put = |first: u32, verdict: Verdict| {
        let last = ranges.last_mut().expect("it starts with one entry");
        if last.0 == first {
            last.1 = verdict;
        } else if last.1 != verdict {
            ranges.push((first, verdict));
        }
    };
    // Where one interface ends, the next begins: x32 above x86_64, arm's private calls above its others.
    let border = match abis[0] {
        Abi::X86_64 | Abi::X32 => X32_BIT,
        Abi::Arm => ARM_PRIVATE,
        _ => u32::MAX,
    };
    let has = |abi| abis.contains(&abi);
    let (below, above) = numbers.split_at(numbers.partition_point(|(number, _)| *number < border));
    for (side, begin) in [(below, 0), (above, border)] {
        let absent = (begin == 0 && border == X32_BIT && !has(Abi::X86_64)) || (begin == X32_BIT && !has(Abi::X32));
        if begin == u32::MAX {
            continue;
        }
        put(begin, Verdict::plain(if absent { returned::KILL_THREAD } else { default }));
        for (number, verdict) in side {
            put(*number, verdict.clone());
            put(number + 1, Verdict::plain(default));
        }
        if let Some((last, _)) = side.last() {
            put(last + 1, Verdict::plain(newer));
        }
    }
    if border == X32_BIT && !has(Abi::X32) {
        // A tracer that skips a call makes its number -1.
        put(u32::MAX, Verdict::plain(newer));
    }
    // Joining again: an entry put over an equal first number may now equal the one before.
    ranges.dedup_by(|next, before| next.1 == before.1);
    ranges
}

/// What calls get that are newer than the profile: ENOSYS, unless the default lets them pass.
fn newer(seccomp: &LinuxSeccomp, default: u32) -> u32 {
    match seccomp.default_action() {
        LinuxSeccompAction::ScmpActAllow | LinuxSeccompAction::ScmpActLog => default,
        _ => returned::ERRNO | libc::ENOSYS as u32,
    }
}
