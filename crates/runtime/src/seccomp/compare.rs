//! Comparing an argument: 64 bits, of which classic BPF holds 32 at a time.

use libc::sock_filter;
use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator};

/// A comparison of one argument with a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Comparison {
    /// 0 to 5.
    pub(super) index: usize,
    operator: Operator,
    value: u64,
    /// Whether the upper halves count.
    wide: bool,
}

/// The specification's operators, without their opposites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    AtLeast,
    Greater,
    /// The bits of this mask equal the value.
    Masked(u64),
}

/// Codes of `linux/bpf_common.h`: class, size or operation, and operand together.
pub(super) const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(super) const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
pub(super) const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
pub(super) const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
pub(super) const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
pub(super) const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
pub(super) const RETURN: u16 = 0x06; // BPF_RET | BPF_K

pub(super) fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// Offsets into `struct seccomp_data`.
pub(super) const NUMBER_OFFSET: u32 = 0;
pub(super) const ARCH_OFFSET: u32 = 4;
const ARGUMENTS_OFFSET: u32 = 16;

/// Where a jump of a comparison leads.
#[derive(Clone, Copy)]
enum To {
    /// The next instruction.
    Next,
    /// The end of this comparison: it holds.
    Holds,
    /// The end of the rule: it does not.
    Fails,
}

/// An instruction whose jumps are not resolved yet.
struct Step(u16, u32, To, To);

impl Comparison {
    pub(super) fn new(argument: &LinuxSeccompArg, wide: bool) -> Self {
        let first = argument.value();
        let (operator, value) = match argument.op() {
            LinuxSeccompOperator::ScmpCmpEq => (Operator::Equal, first),
            LinuxSeccompOperator::ScmpCmpNe => (Operator::Unequal, first),
            LinuxSeccompOperator::ScmpCmpLt => (Operator::Less, first),
            LinuxSeccompOperator::ScmpCmpLe => (Operator::AtMost, first),
            LinuxSeccompOperator::ScmpCmpGe => (Operator::AtLeast, first),
            LinuxSeccompOperator::ScmpCmpGt => (Operator::Greater, first),
            LinuxSeccompOperator::ScmpCmpMaskedEq => (Operator::Masked(first), argument.value_two().unwrap_or(0)),
        };
        Comparison { index: argument.index(), operator, value, wide }
    }

    fn steps(&self) -> Vec<Step> {
        use To::{Fails, Holds, Next};
        let load = |half: u32| Step(LOAD, ARGUMENTS_OFFSET + 8 * self.index as u32 + half, Next, Next);
        let (low_offset, high_offset) = if cfg!(target_endian = "little") { (0, 4) } else { (4, 0) };
        let (low, high) = (self.value as u32, (self.value >> 32) as u32);
        // The upper half decides unless it is equal.
        let mut steps = Vec::with_capacity(6);
        if self.wide {
            steps.push(load(high_offset));
            match self.operator {
                Operator::Equal => steps.push(Step(JUMP_EQUAL, high, Next, Fails)),
                Operator::Unequal => steps.push(Step(JUMP_EQUAL, high, Next, Holds)),
                Operator::AtLeast | Operator::Greater => {
                    steps.push(Step(JUMP_GREATER, high, Holds, Next));
                    steps.push(Step(JUMP_EQUAL, high, Next, Fails));
                }
                Operator::Less | Operator::AtMost => {
                    steps.push(Step(JUMP_GREATER, high, Fails, Next));
                    steps.push(Step(JUMP_EQUAL, high, Next, Holds));
                }
                Operator::Masked(mask) => {
                    steps.push(Step(AND, (mask >> 32) as u32, Next, Next));
                    steps.push(Step(JUMP_EQUAL, high, Next, Fails));
                }
            }
        }
        steps.push(load(low_offset));
        if let Operator::Masked(mask) = self.operator {
            steps.push(Step(AND, mask as u32, Next, Next));
        }
        steps.push(match self.operator {
            Operator::Equal | Operator::Masked(_) => Step(JUMP_EQUAL, low, Holds, Fails),
            Operator::Unequal => Step(JUMP_EQUAL, low, Fails, Holds),
            Operator::AtLeast => Step(JUMP_AT_LEAST, low, Holds, Fails),
            Operator::Greater => Step(JUMP_GREATER, low, Holds, Fails),
            Operator::Less => Step(JUMP_AT_LEAST, low, Fails, Holds),
            Operator::AtMost => Step(JUMP_GREATER, low, Fails, Holds),
        });
        steps
    }
}

/// A rule: falls through to its return if all comparisons hold, else leads behind it.
pub(super) fn append_condition(code: &mut Vec<sock_filter>, all: &[Comparison], returned: u32) {
    let steps: Vec<Vec<Step>> = all.iter().map(Comparison::steps).collect();
    // Six arguments of six steps at most, so every distance fits its eight bits.
    let length: usize = steps.iter().map(Vec::len).sum();
    let mut at = 0;
    for comparison in &steps {
        let holds = at + comparison.len();
        for step in comparison {
            let distance = |to: To| match to {
                To::Next => 0,
                To::Holds => (holds - at - 1) as u8,
                To::Fails => (length - at) as u8,
            };
            code.push(instruction(step.0, step.1, distance(step.2), distance(step.3)));
            at += 1;
        }
    }
    code.push(instruction(RETURN, returned, 0, 0));
}
