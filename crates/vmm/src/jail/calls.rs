//! System calls: an allow list. Anything else ends the process.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::{Error, Result};

/// Calls with any arguments. // tidy: table
const CALLS: &[i64] = &[
    // Bytes between descriptors and memory.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_accept4,
    libc::SYS_close,
    libc::SYS_shutdown,
    // Disks.
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_fallocate,
    libc::SYS_lseek,
    // Snapshots, whose paths Landlock guards.
    libc::SYS_openat,
    libc::SYS_mkdir,
    libc::SYS_unlink,
    libc::SYS_ftruncate,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    // Waiting, for events and for other threads.
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_epoll_ctl,
    libc::SYS_futex,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    libc::SYS_timerfd_settime,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_fcntl,
    libc::SYS_getrandom,
    // Memory of the process, and the guest's that goes back.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    // Signals to its own threads, and their end.
    libc::SYS_tgkill,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// `ioctl`s by number (Linux, include/uapi/linux/kvm.h, if_tun.h, asm-generic/ioctls.h). // tidy: table
const CONTROLS: &[u64] = &[
    0x0000_ae80, // KVM_RUN
    0x8090_ae81, // KVM_GET_REGS
    0x8138_ae83, // KVM_GET_SREGS
    0xc008_ae88, // KVM_GET_MSRS
    0x8004_ae98, // KVM_GET_MP_STATE
    0x8400_ae8e, // KVM_GET_LAPIC
    0xc008_ae91, // KVM_GET_CPUID2
    0x8040_ae9f, // KVM_GET_VCPU_EVENTS
    0x8080_aea1, // KVM_GET_DEBUGREGS
    0x9000_aea4, // KVM_GET_XSAVE
    0x8188_aea6, // KVM_GET_XCRS
    0x0000_aea3, // KVM_GET_TSC_KHZ
    0x0000_aead, // KVM_KVMCLOCK_CTRL
    0xc208_ae62, // KVM_GET_IRQCHIP
    0x8030_ae7c, // KVM_GET_CLOCK
    0x4004_54d0, // TUNSETOFFLOAD
    0x0000_5421, // FIONBIO
];

pub(super) fn close() -> Result<()> {
    let failed = |error: &dyn std::error::Error| Error::System {
        act: "give up system calls",
        source: std::io::Error::other(error.to_string()),
    };
    let program = program(SeccompAction::KillProcess).map_err(|error| failed(&error))?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| failed(&error))
}

/// The filter, which answers everything that is not in the tables with `otherwise`.
pub(super) fn program(otherwise: SeccompAction) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let controls = CONTROLS.iter().map(|number| {
        let is = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *number)?;
        SeccompRule::new(vec![is])
    });
    rules.insert(libc::SYS_ioctl, controls.collect::<Result<_, _>>()?);
    SeccompFilter::new(rules, otherwise, SeccompAction::Allow, TargetArch::x86_64)?.try_into()
}
