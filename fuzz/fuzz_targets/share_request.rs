//! Any bytes as requests of a guest's kernel to the file server: no panic, and nothing outside of the shared directory.
#![no_main]

use berth_share::server::Server;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let place = tempfile::tempdir().expect("tempdir");
    let shared = place.path().join("shared");
    std::fs::create_dir_all(shared.join("directory")).expect("mkdir");
    std::fs::write(place.path().join("canary"), "alive").expect("write");
    std::os::unix::fs::symlink("../canary", shared.join("link")).expect("symlink");
    let mut server = Server::new(&shared).expect("a server");
    for request in input.chunks(96) {
        let answer = server.answer(request, 4096);
        assert!(answer.is_none_or(|answer| answer.len() <= 4096));
    }
    assert_eq!(std::fs::read(place.path().join("canary")).expect("the canary"), b"alive");
});
