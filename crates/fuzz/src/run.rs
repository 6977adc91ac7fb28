//! What a container is run by: the OCI specification, and filters of system calls.

use berth_runtime::cgroup::CgroupPath;
use berth_runtime::seccomp::{self, Profile, Program};
use oci_spec::runtime::Spec;

/// A specification: no panic; what is taken is written and read again, and its parts are understood or refused.
pub fn oci_spec(input: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Spec>(input) else { return };
    let text = serde_json::to_vec(&spec).expect("it is written");
    serde_json::from_slice::<Spec>(&text).expect("it is read again");
    let Some(linux) = spec.linux() else { return };
    if let Some(path) = linux.cgroups_path()
        && let Ok(path) = CgroupPath::parse(&path.to_string_lossy())
    {
        let text = path.to_string();
        assert!(!text.split('/').any(|part| part == ".."), "{text}");
        assert_eq!(CgroupPath::parse(&text).expect("its own text"), path);
    }
    if let Some(filter) = linux.seccomp() {
        check(seccomp::compile(filter).ok());
    }
}

/// A profile in Docker's format: a filter or a refusal; a filter is never longer than the kernel takes.
pub fn seccomp(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(profile) = Profile::parse(text) else { return };
    for capabilities in [&[][..], &["CAP_SYS_ADMIN".to_owned()]] {
        check(profile.resolve(capabilities).and_then(|filter| seccomp::compile(&filter).ok()));
    }
}

/// Every jump leads forward and into the program, and its end returns.
fn check(program: Option<Program>) {
    let Some(program) = program else { return };
    let length = program.instructions.len();
    assert!(length > 0 && length <= 4096, "{length} instructions");
    for (at, i) in program.instructions.iter().enumerate() {
        let farthest = match i.code {
            0x05 => i.k as usize,
            0x15 | 0x25 | 0x35 => usize::from(i.jt.max(i.jf)),
            0x06 => continue,
            _ => 0,
        };
        assert!(at + 1 + farthest < length, "instruction {at} leads out of the program");
    }
    let again = Program::from_bytes(&program.to_bytes()).expect("its own bytes");
    assert_eq!(again.to_bytes(), program.to_bytes());
}
