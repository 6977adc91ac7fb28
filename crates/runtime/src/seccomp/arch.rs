//! System call interfaces: how the kernel marks them in `struct seccomp_data`, and how the specification names them.

use oci_spec::runtime::Arch;

/// An interface with a column of `data/syscalls.txt`, in the order of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
    Riscv64,
    Loongarch64,
    Ppc64,
    S390x,
    S390,
}

/// `__X32_SYSCALL_BIT`.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// `__ARM_NR_BASE`: where arm's private calls begin, far above all others.
pub(super) const ARM_PRIVATE: u32 = 0xf_0000;

impl Abi {
    /// The interface of 64-bit (or only) programs on this machine.
    pub(super) fn native() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X86_64),
            "x86" => Some(Self::X86),
            "aarch64" => Some(Self::Aarch64),
            "arm" => Some(Self::Arm),
            "riscv64" => Some(Self::Riscv64),
            "loongarch64" => Some(Self::Loongarch64),
            "powerpc64" => Some(Self::Ppc64),
            "s390x" => Some(Self::S390x),
            _ => None,
        }
    }

    /// `None` for interfaces without a table. No machine that berth runs on offers one of those, so a filter without
    /// them refuses what cannot happen.
    pub(super) fn from_oci(arch: Arch) -> Option<Self> {
        match arch {
            Arch::ScmpArchNative => Self::native(),
            Arch::ScmpArchX86_64 => Some(Self::X86_64),
            Arch::ScmpArchX86 => Some(Self::X86),
            Arch::ScmpArchX32 => Some(Self::X32),
            Arch::ScmpArchAarch64 => Some(Self::Aarch64),
            Arch::ScmpArchArm => Some(Self::Arm),
            Arch::ScmpArchRiscv64 => Some(Self::Riscv64),
            Arch::ScmpArchLoongarch64 => Some(Self::Loongarch64),
            Arch::ScmpArchPpc64 | Arch::ScmpArchPpc64le => Some(Self::Ppc64),
            Arch::ScmpArchS390x => Some(Self::S390x),
            Arch::ScmpArchS390 => Some(Self::S390),
            _ => None,
        }
    }

    /// `AUDIT_ARCH_*` of `linux/audit.h`: the ELF machine, and bits for 64 bit and little endian.
    pub(super) fn token(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
            Self::Loongarch64 => 0xc000_0102,
            Self::Ppc64 if cfg!(target_endian = "big") => 0x8000_0015,
            Self::Ppc64 => 0xc000_0015,
            Self::S390x => 0x8000_0016,
            Self::S390 => 0x0000_0016,
        }
    }

    /// Whether arguments are compared with 64 bits; else the lower 32, which are all that such a call has.
    pub(super) fn is_wide(self) -> bool {
        !matches!(self, Self::X86 | Self::X32 | Self::Arm | Self::S390)
    }

    /// The column of the table.
    pub(super) fn column(self) -> usize {
        self as usize
    }
}
