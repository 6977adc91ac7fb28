//! QEMU's command line: a `microvm` machine with just the devices that a container needs (docs/system/i386/microvm.rst).
//!
//! All paths are those of the jail (see [`crate::jail`]).

use crate::{
    guest::{PORT, ROOT_SERIAL, UPPER_SERIAL},
    jail::{AGENT, IMAGE, INITRAMFS, KERNEL, QMP, SHARE_SOCKET, UPPER},
    plan::{Backend, Plan, placeholder_mac, tap_name},
};

/// The processor of guests that are interpreted. There, "rep movsb" and "rep stosb" go byte by byte: a kernel that is not
/// told of fast ones clears and copies pages by words, and boots a fifth faster.
pub const INTERPRETED: &str = "max,erms=off,fsrm=off";

/// What differs between a machine for a container and a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// Boots.
    Cold,
    /// Boots, with a control socket by which it becomes a template.
    Template,
    /// Goes on from a template.
    Restored,
}

/// The arguments behind the program's name.
#[must_use]
pub fn arguments(plan: &Plan, machine: Machine, share: bool, tsc_khz: u64) -> Vec<String> {
    let mut line = Line::default();
    let (accelerator, cpu) = match plan.backend {
        Backend::QemuTcg => ("tcg,thread=multi,tb-size=128", INTERPRETED),
        _ => ("kvm", "host"),
    };
    line.flags(&["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"]);
    line.option("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    line.option("-accel", accelerator);
    line.option("-cpu", cpu);
    line.option("-m", &format!("{}M", plan.memory_bytes >> 20));
    line.option("-smp", &plan.vcpus.to_string());
    line.option(
        "-machine",
        "microvm,acpi=on,pit=off,pic=off,rtc=on,isa-serial=on,x-option-roms=off,auto-kernel-cmdline=off,memory-backend=ram",
    );
    line.option("-object", &memory(plan, share));
    line.option("-global", "virtio-mmio.force-legacy=false");
    line.option("-kernel", KERNEL);
    line.option("-initrd", INITRAMFS);
    line.option("-append", &kernel_line(plan, machine, tsc_khz));
    line.option("-chardev", "file,id=serial,path=/dev/stdout");
    line.option("-serial", "chardev:serial");
    line.option("-chardev", &format!("socket,id=agent,path={AGENT}"));
    line.option("-device", "virtio-serial-device,max_ports=2");
    line.option("-device", &format!("virtserialport,chardev=agent,name={PORT}"));
    line.option("-object", "rng-random,id=rng,filename=/dev/urandom");
    line.option("-device", "virtio-rng-device,rng=rng");
    disks(plan, &mut line);
    for index in 0..plan.nics as usize {
        let tap = tap_name(index);
        line.option("-netdev", &format!("tap,id=net{index},ifname={tap},script=no,downscript=no"));
        let mac = placeholder_mac(index).map(|byte| format!("{byte:02x}")).join(":");
        line.option("-device", &format!("virtio-net-device,netdev=net{index},mac={mac}"));
    }
    if share {
        line.option("-chardev", &format!("socket,id=share,path={SHARE_SOCKET}"));
        line.option("-device", "vhost-user-fs-device,chardev=share,tag=berth,queue-size=256");
    }
    match machine {
        Machine::Cold => {}
        Machine::Template => line.option("-qmp", &format!("unix:{QMP},server=on,wait=off")),
        // The template is this process's standard input: open for reading, whatever the process may become.
        Machine::Restored => line.option("-incoming", "fd:0"),
    }
    line.0
}

/// Memory: anonymous, and shared where another process serves directories from it.
fn memory(plan: &Plan, share: bool) -> String {
    let size = format!("id=ram,size={}M", plan.memory_bytes >> 20);
    if share { format!("memory-backend-memfd,{size},share=on") } else { format!("memory-backend-ram,{size}") }
}

/// What the kernel is told. A guest of one container has little to gain from slow grace periods, and its start waits for
/// several: control groups, namespaces, devices.
fn kernel_line(plan: &Plan, machine: Machine, tsc_khz: u64) -> String {
    let mut words = "console=ttyS0 quiet loglevel=3 panic=-1 reboot=t rdinit=/init random.trust_cpu=on \
                     no_timer_check audit=0 mitigations=auto i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd \
                     cryptomgr.notests rcupdate.rcu_expedited=1"
        .to_owned();
    if machine != Machine::Cold {
        // What has been freed is zero, and no part of a template. A machine that boots for itself would clear all of its
        // memory for that, and have all of it from the host.
        words.push_str(" init_on_free=1");
    }
    if plan.backend == Backend::QemuTcg {
        words.push_str(&format!(" tsc_early_khz={tsc_khz} tsc=reliable"));
    }
    words.push_str(" -- guest");
    words
}

fn disks(plan: &Plan, line: &mut Line) {
    line.option(
        "-blockdev",
        &format!("driver=raw,node-name=root,read-only=on,file.driver=file,file.filename={IMAGE},file.locking=off"),
    );
    line.option("-device", &format!("virtio-blk-device,drive=root,serial={ROOT_SERIAL}"));
    if plan.disk.is_some() {
        let flush = if plan.volatile { "on" } else { "off" };
        line.option(
            "-blockdev",
            &format!(
                "driver=raw,node-name=upper,discard=unmap,detect-zeroes=unmap,cache.no-flush={flush},file.driver=file,\
                 file.filename={UPPER},file.locking=off,file.discard=unmap"
            ),
        );
        line.option("-device", &format!("virtio-blk-device,drive=upper,serial={UPPER_SERIAL}"));
    }
}

#[derive(Default)]
struct Line(Vec<String>);

impl Line {
    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(|flag| (*flag).to_owned()));
    }

    fn option(&mut self, flag: &str, value: &str) {
        self.0.extend([flag.to_owned(), value.to_owned()]);
    }
}
