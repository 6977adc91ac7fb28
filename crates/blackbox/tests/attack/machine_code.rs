//! The smallest programs there are: one system call, and its errno as the exit code.
//!
//! Written byte by byte (ELF, System V ABI; Intel 64 and IA-32 manual, volume 2), as the machines of tests have no compiler
//! for 32-bit programs, and no library may try another call first.

use std::os::unix::fs::PermissionsExt;

/// Where both kinds are loaded.
const BASE: u32 = 0x0804_8000;
const HEADERS_32: u32 = 52 + 32;
const HEADERS_64: u32 = 64 + 56;

/// `eax` below zero becomes the exit code, else 0; `int 0x80`.
const EXIT_32: &[u8] = &[
    0x85, 0xc0, // test eax, eax
    0x79, 0x06, // jns: no error
    0xf7, 0xd8, // neg eax
    0x89, 0xc3, // mov ebx, eax
    0xeb, 0x02, // jmp
    0x31, 0xdb, // xor ebx, ebx
    0xb8, 1, 0, 0, 0, // mov eax, exit
    0xcd, 0x80, // int 0x80
];

/// The same with `syscall`.
const EXIT_64: &[u8] = &[
    0x85, 0xc0, // test eax, eax
    0x79, 0x06, // jns: no error
    0xf7, 0xd8, // neg eax
    0x89, 0xc7, // mov edi, eax
    0xeb, 0x02, // jmp
    0x31, 0xff, // xor edi, edi
    0xb8, 60, 0, 0, 0, // mov eax, exit
    0x0f, 0x05, // syscall
];

/// A 32-bit program around the machine code of a call, with data behind it.
fn elf_32(call: &[u8], data: &[u8]) -> Vec<u8> {
    let length = HEADERS_32 + (call.len() + EXIT_32.len() + data.len()) as u32;
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([2, 0, 3, 0, 1, 0, 0, 0]);
    for word in [BASE + HEADERS_32, 52, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend([52, 0, 32, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    for word in [1, 0, BASE, BASE, length, length, 7, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    [&file, call, EXIT_32, data].concat()
}

/// As [`elf_32`], for 64 bit.
fn elf_64(call: &[u8]) -> Vec<u8> {
    let length = u64::from(HEADERS_64) + (call.len() + EXIT_64.len()) as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [u64::from(BASE + HEADERS_64), 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    file.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    for word in [0, u64::from(BASE), u64::from(BASE), length, length, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    [&file, call, EXIT_64].concat()
}

/// The call of this number with zeros as arguments.
pub fn call_32(number: u32) -> Vec<u8> {
    let mut call = vec![0x31, 0xdb, 0x31, 0xc9, 0x31, 0xd2, 0x31, 0xf6, 0x31, 0xff, 0xb8];
    call.extend(number.to_le_bytes());
    call.extend([0xcd, 0x80]);
    elf_32(&call, &[])
}

/// As [`call_32`], for 64 bit.
pub fn call_64(number: u32) -> Vec<u8> {
    let mut call = vec![0x31, 0xff, 0x31, 0xf6, 0x31, 0xd2, 0x4d, 0x31, 0xd2, 0x4d, 0x31, 0xc0, 0xb8];
    call.extend(number.to_le_bytes());
    call.extend([0x0f, 0x05]);
    elf_64(&call)
}

/// `socket(AF_ALG, SOCK_SEQPACKET, 0)` as call 359.
pub fn socket_32() -> Vec<u8> {
    let call = [0xb8, 0x67, 1, 0, 0, 0xbb, 38, 0, 0, 0, 0xb9, 5, 0, 0, 0, 0x31, 0xd2, 0xcd, 0x80];
    elf_32(&call, &[])
}

/// The same as `socketcall(SYS_SOCKET, ...)`, call 102, with its arguments in memory.
pub fn socketcall_32() -> Vec<u8> {
    const CALL: u32 = 5 + 5 + 5 + 2;
    let arguments = BASE + HEADERS_32 + CALL + EXIT_32.len() as u32;
    let mut call = vec![0xb8, 102, 0, 0, 0, 0xbb, 1, 0, 0, 0, 0xb9];
    call.extend(arguments.to_le_bytes());
    call.extend([0xcd, 0x80]);
    let data: Vec<u8> = [38_u32, 5, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    elf_32(&call, &data)
}

/// Whether this kernel runs 32-bit programs; tried with one.
pub fn runs_32() -> bool {
    let place = tempfile::tempdir().expect("a folder");
    let program = place.path().join("call");
    std::fs::write(&program, socket_32()).expect("a file");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    std::process::Command::new(program).status().is_ok()
}
