//! Device rules on cgroup v2, which has no control file for them: a small eBPF program of type
//! `BPF_PROG_TYPE_CGROUP_DEVICE`, asked by the kernel at each open and mknod (cgroup-v2.rst, "Device controller").
//!
//! The program is a list of checks, one for each exception, each leaving early with the opposite of the default.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::device::{Class, Exception, MKNOD, READ, Rules, WRITE};

/// Registers of the program. The kernel gives the context in r1 and takes the verdict from r0.
const R0: u8 = 0;
const R1: u8 = 1;
const CLASS: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 1;

/// Operation codes (`linux/bpf.h`, `linux/bpf_common.h`): class, source and operation together.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const AND_32: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT_32: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const MOVE_32: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const MOVE_IMMEDIATE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const JUMP_EQUAL: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_UNEQUAL_32: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
const JUMP_UNEQUAL_REGISTER: u8 = 0x5d; // BPF_JMP | BPF_JNE | BPF_X
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

/// `BPF_DEVCG_DEV_BLOCK` and `BPF_DEVCG_DEV_CHAR`.
const DEVICE_BLOCK: i32 = 1;
const DEVICE_CHARACTER: i32 = 2;

/// One instruction, `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u8,
    pub(super) target: u8,
    pub(super) source: u8,
    pub(super) offset: i16,
    pub(super) immediate: i32,
}

impl Instruction {
    fn new(code: u8, target: u8, source: u8, offset: i16, immediate: i32) -> Self {
        Instruction { code, target, source, offset, immediate }
    }

    /// The eight bytes the kernel reads, in the machine's byte order.
    fn bytes(self) -> [u8; 8] {
        let registers = if cfg!(target_endian = "little") {
            self.source << 4 | self.target
        } else {
            self.target << 4 | self.source
        };
        let (offset, immediate) = (self.offset.to_ne_bytes(), self.immediate.to_ne_bytes());
        let mut bytes = [self.code, registers, 0, 0, 0, 0, 0, 0];
        bytes[2..4].copy_from_slice(&offset);
        bytes[4..8].copy_from_slice(&immediate);
        bytes
    }
}

/// The program for `rules`: returns 1 to allow, 0 to refuse.
pub(super) fn assemble(rules: &Rules) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx: access_type (access << 16 | class), major, minor, 32 bits each.
    let mut program = vec![
        Instruction::new(LOAD_WORD, CLASS, R1, 0, 0),
        Instruction::new(AND_32, CLASS, 0, 0, 0xffff),
        Instruction::new(LOAD_WORD, ACCESS, R1, 0, 0),
        Instruction::new(SHIFT_RIGHT_32, ACCESS, 0, 0, 16),
        Instruction::new(LOAD_WORD, MAJOR, R1, 4, 0),
        Instruction::new(LOAD_WORD, MINOR, R1, 8, 0),
    ];
    for exception in &rules.exceptions {
        append_check(&mut program, exception, !rules.default_allow);
    }
    append_verdict(&mut program, rules.default_allow);
    program
}

fn append_check(program: &mut Vec<Instruction>, exception: &Exception, verdict: bool) {
    let begin = program.len();
    if let Some(class) = exception.class {
        let class = if class == Class::Block { DEVICE_BLOCK } else { DEVICE_CHARACTER };
        program.push(Instruction::new(JUMP_UNEQUAL_32, CLASS, 0, 0, class));
    }
    if exception.access != MKNOD | READ | WRITE {
        program.push(Instruction::new(MOVE_32, SCRATCH, ACCESS, 0, 0));
        program.push(Instruction::new(AND_32, SCRATCH, 0, 0, i32::from(exception.access)));
        program.push(if verdict {
            // To be allowed, all that is wanted must be in the exception.
            Instruction::new(JUMP_UNEQUAL_REGISTER, SCRATCH, ACCESS, 0, 0)
        } else {
            // To be refused, any of it.
            Instruction::new(JUMP_EQUAL, SCRATCH, 0, 0, 0)
        });
    }
    for (register, number) in [(MAJOR, exception.major), (MINOR, exception.minor)] {
        if let Some(number) = number {
            program.push(Instruction::new(JUMP_UNEQUAL_32, register, 0, 0, number as i32));
        }
    }
    append_verdict(program, verdict);
    let end = program.len();
    for (at, instruction) in program.iter_mut().enumerate().skip(begin) {
        if matches!(instruction.code, JUMP_UNEQUAL_32 | JUMP_UNEQUAL_REGISTER | JUMP_EQUAL) {
            // A check has at most nine instructions.
            instruction.offset = (end - at - 1) as i16;
        }
    }
}

fn append_verdict(program: &mut Vec<Instruction>, allow: bool) {
    program.push(Instruction::new(MOVE_IMMEDIATE, R0, 0, 0, i32::from(allow)));
    program.push(Instruction::new(EXIT, 0, 0, 0, 0));
}

/// Hands the program for `rules` to the kernel's verifier.
pub(super) fn load(rules: &Rules) -> io::Result<OwnedFd> {
    let program: Vec<[u8; 8]> = assemble(rules).into_iter().map(Instruction::bytes).collect();
    Ok(berth_sys::bpf::load_cgroup_device_filter(&program)?)
}

/// Puts the filter for `rules` on a v2 cgroup in place of an earlier one, with no moment without any: while both are
/// attached a device must pass both.
pub(super) fn attach(cgroup: BorrowedFd<'_>, rules: &Rules) -> io::Result<()> {
    let earlier = berth_sys::bpf::cgroup_device_filters(cgroup)?;
    let filter = load(rules)?;
    berth_sys::bpf::attach_cgroup_device_filter(cgroup, filter.as_fd())?;
    for old in &earlier {
        berth_sys::bpf::detach_cgroup_device_filter(cgroup, old.as_fd())?;
    }
    Ok(())
}
