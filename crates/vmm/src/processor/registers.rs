//! The registers with which a kernel is entered.

use kvm_bindings::{kvm_fpu, kvm_lapic_state, kvm_regs, kvm_segment, kvm_sregs};
use kvm_ioctls::VcpuFd;
use vm_memory::{Bytes as _, GuestAddress};

use crate::{Error, Result, boot::Start, layout, memory::Memory};

const CR0_PROTECTED: u64 = 1;
const CR0_EXTENSION_TYPE: u64 = 1 << 4;
const CR0_PAGING: u64 = 1 << 31;
const CR4_PHYSICAL_EXTENSION: u64 = 1 << 5;
const EFER_LONG_ENABLED: u64 = 1 << 8;
const EFER_LONG_ACTIVE: u64 = 1 << 10;
/// The bit that is always set.
const RFLAGS: u64 = 2;

/// Descriptors: type and flags as in bits 40-55 of an entry (Intel SDM volume 3, 3.4.5).
const CODE_64: u16 = 0xa09b;
const CODE_32: u16 = 0xc09b;
const DATA: u16 = 0xc093;
const TASK: u16 = 0x008b;

/// Offsets in the local APIC's page, and their values: interrupts of the old controllers pass through.
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const MODE_EXTERNAL: u32 = 7 << 8;
const MODE_NMI: u32 = 4 << 8;

pub fn prepare(fd: &VcpuFd, memory: &Memory, start: Start, first: bool) -> Result<()> {
    local_apic(fd)?;
    let fpu = kvm_fpu { fcw: 0x37f, mxcsr: 0x1f80, ..kvm_fpu::default() };
    fd.set_fpu(&fpu).map_err(Error::kvm("take floating point registers"))?;
    if !first {
        return Ok(());
    }
    let mut special = fd.get_sregs().map_err(Error::kvm("give special registers"))?;
    segments(&mut special, memory, start)?;
    special.cr0 = CR0_PROTECTED | CR0_EXTENSION_TYPE;
    let general = match start {
        Start::Pvh(rip) => kvm_regs { rip, rbx: layout::PVH_START, rflags: RFLAGS, ..kvm_regs::default() },
        Start::Long(rip) => {
            special.cr0 |= CR0_PAGING;
            special.cr3 = layout::PAGE_TABLES;
            special.cr4 = CR4_PHYSICAL_EXTENSION;
            special.efer |= EFER_LONG_ENABLED | EFER_LONG_ACTIVE;
            let (rsp, rsi) = (layout::STACK, layout::ZERO_PAGE);
            kvm_regs { rip, rsi, rsp, rbp: rsp, rflags: RFLAGS, ..kvm_regs::default() }
        }
    };
    fd.set_sregs(&special).map_err(Error::kvm("take special registers"))?;
    fd.set_regs(&general).map_err(Error::kvm("take registers"))
}

fn segments(special: &mut kvm_sregs, memory: &Memory, start: Start) -> Result<()> {
    let code = match start {
        Start::Pvh(_) => CODE_32,
        Start::Long(_) => CODE_64,
    };
    let table = [(0, 0), (code, 0xf_ffff), (DATA, 0xf_ffff), (TASK, 0x67)].map(|(flags, limit)| entry(flags, limit));
    for (index, entry) in (0_u64..).zip(table) {
        memory.write_obj(entry, GuestAddress(layout::GDT + index * 8)).map_err(Error::memory)?;
    }
    memory.write_obj(0_u64, GuestAddress(layout::IDT)).map_err(Error::memory)?;
    (special.gdt.base, special.gdt.limit) = (layout::GDT, size_of_val(&table) as u16 - 1);
    (special.idt.base, special.idt.limit) = (layout::IDT, 7);
    special.cs = segment(1, code, u32::MAX);
    for data in [&mut special.ds, &mut special.es, &mut special.fs, &mut special.gs, &mut special.ss] {
        *data = segment(2, DATA, u32::MAX);
    }
    special.tr = segment(3, TASK, 0x67);
    Ok(())
}

/// An entry of the descriptor table with base 0.
const fn entry(flags: u16, limit: u32) -> u64 {
    let limit = limit as u64;
    (limit & 0xf_0000) << 32 | (flags as u64 & 0xf0ff) << 40 | limit & 0xffff
}

/// The same as the processor keeps it.
fn segment(index: u16, flags: u16, limit: u32) -> kvm_segment {
    let bit = |at: u16| (flags >> at & 1) as u8;
    kvm_segment {
        base: 0,
        limit,
        selector: index * 8,
        type_: (flags & 0xf) as u8,
        present: bit(7),
        dpl: (flags >> 5 & 3) as u8,
        db: bit(14),
        s: bit(4),
        l: bit(13),
        g: bit(15),
        avl: bit(12),
        unusable: 0,
        padding: 0,
    }
}

fn local_apic(fd: &VcpuFd) -> Result<()> {
    let mut state = fd.get_lapic().map_err(Error::kvm("give the local APIC"))?;
    set_mode(&mut state, LVT_LINT0, MODE_EXTERNAL);
    set_mode(&mut state, LVT_LINT1, MODE_NMI);
    fd.set_lapic(&state).map_err(Error::kvm("take the local APIC"))
}

fn set_mode(state: &mut kvm_lapic_state, register: usize, mode: u32) {
    const MODE: u32 = 7 << 8;
    let bytes = &mut state.regs[register..register + 4];
    let value = bytes.iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte as u8)) & !MODE | mode;
    for (byte, new) in bytes.iter_mut().zip(value.to_le_bytes()) {
        *byte = new as _;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_those_of_the_manual() {
        assert_eq!(entry(CODE_64, 0xf_ffff), 0x00af_9b00_0000_ffff);
        assert_eq!(entry(CODE_32, 0xf_ffff), 0x00cf_9b00_0000_ffff);
        assert_eq!(entry(DATA, 0xf_ffff), 0x00cf_9300_0000_ffff);
        let code = segment(1, CODE_64, u32::MAX);
        assert_eq!((code.selector, code.type_, code.present, code.s, code.l, code.db, code.g), (8, 11, 1, 1, 1, 0, 1));
        let task = segment(3, TASK, 0x67);
        assert_eq!((task.type_, task.s, task.present, task.g), (11, 0, 1, 0));
    }

    #[test]
    fn the_apics_lines_keep_their_other_bits() {
        let mut state = kvm_lapic_state::default();
        state.regs[LVT_LINT0 + 2] = 1;
        set_mode(&mut state, LVT_LINT0, MODE_EXTERNAL);
        assert_eq!(
            state.regs[LVT_LINT0..LVT_LINT0 + 4].iter().map(|byte| *byte as u8).collect::<Vec<_>>(),
            [0, 7, 1, 0]
        );
    }
}
