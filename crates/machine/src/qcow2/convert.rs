//! An image's bytes as a raw disk: sparse where the image has nothing.

use std::{fs::File, os::unix::fs::FileExt as _};

use super::Image;
use crate::{Error, Result, copy::is_zero};

/// Writes the disk of `image` into the empty file `target`, which takes only what is not zero; its size in bytes.
///
/// # Errors
/// [`Error::Invalid`] for an image that cannot be read, [`Error::Host`] when the target cannot be written.
pub fn to_raw(image: &mut Image, target: &File) -> Result<u64> {
    let failed = |error: std::io::Error| Error::Host(format!("the converted disk cannot be written: {error}"));
    let size = image.header.size;
    target.set_len(size).map_err(failed)?;
    let cluster = image.cluster_bytes();
    let mut buffer = vec![0; cluster as usize];
    let (mut index, clusters) = (0, image.clusters());
    while index < clusters {
        let empty = image.empty_from(index);
        if empty > 0 {
            index += empty;
            continue;
        }
        if image.read(index, &mut buffer)? {
            let start = index * cluster;
            let within = &buffer[..(size - start).min(cluster) as usize];
            if !is_zero(within) {
                target.write_all_at(within, start).map_err(failed)?;
            }
        }
        index += 1;
    }
    target.sync_all().map_err(failed)?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::qcow2::{format::Header, image::read_header};

    const CLUSTER: usize = 512;

    /// An image of six clusters of 512 bytes: data, hole, zero, packed, data at the end of the file, hole.
    fn sample() -> Vec<u8> {
        let mut image = vec![0u8; 6 * CLUSTER];
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"QFI\xfb");
        put(4, &3u32.to_be_bytes());
        put(20, &9u32.to_be_bytes());
        put(24, &(6 * CLUSTER as u64 - 100).to_be_bytes());
        put(36, &1u32.to_be_bytes());
        put(40, &(CLUSTER as u64).to_be_bytes());
        put(100, &104u32.to_be_bytes());
        put(CLUSTER, &((2 * CLUSTER as u64) | (1 << 63)).to_be_bytes());
        let table = 2 * CLUSTER;
        put(table, &((3 * CLUSTER as u64) | (1 << 63)).to_be_bytes());
        put(table + 16, &((3 * CLUSTER as u64) | 1).to_be_bytes());
        // One sector: no further ones.
        put(table + 24, &((4 * CLUSTER as u64) | (1 << 62)).to_be_bytes());
        put(table + 32, &(5 * CLUSTER as u64).to_be_bytes());
        put(3 * CLUSTER, &[7; CLUSTER]);
        let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&[9; CLUSTER]).expect("pack");
        let packed = packer.finish().expect("pack");
        put(4 * CLUSTER, &packed);
        put(5 * CLUSTER, &[5; 100]);
        image.truncate(5 * CLUSTER + 100);
        image
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("tempfile");
        file.write_all(bytes).expect("write");
        file
    }

    fn convert(bytes: &[u8]) -> Result<Vec<u8>> {
        let mut image = Image::open(file(bytes))?;
        let target = tempfile::tempfile().expect("tempfile");
        let size = to_raw(&mut image, &target)?;
        let mut raw = vec![0; size as usize];
        target.read_exact_at(&mut raw, 0).expect("read");
        Ok(raw)
    }

    #[test]
    fn every_kind_of_cluster_is_read() {
        let raw = convert(&sample()).expect("convert");
        assert_eq!(raw.len(), 6 * CLUSTER - 100);
        for (cluster, byte) in [(0, 7), (1, 0), (2, 0), (3, 9)] {
            assert!(raw[cluster * CLUSTER..][..CLUSTER].iter().all(|one| *one == byte), "cluster {cluster}");
        }
        assert!(
            raw[4 * CLUSTER..][..100].iter().all(|one| *one == 5)
                && raw[4 * CLUSTER + 100..].iter().all(|one| *one == 0)
        );
    }

    #[test]
    fn hostile_images_are_refused() {
        let changed = |at: usize, bytes: &[u8]| {
            let mut image = sample();
            image[at..at + bytes.len()].copy_from_slice(bytes);
            convert(&image).expect_err("refused").to_string()
        };
        let table = 2 * CLUSTER;
        for (at, bytes, word) in [
            (0, &b"QFI\0"[..], "no qcow2 header"),
            (4, &9u32.to_be_bytes(), "version 9"),
            (20, &8u32.to_be_bytes(), "2^8"),
            (20, &63u32.to_be_bytes(), "2^63"),
            (24, &u64::MAX.to_be_bytes(), "larger"),
            (24, &(1u64 << 40).to_be_bytes(), "L1 table"),
            (32, &1u32.to_be_bytes(), "encrypted"),
            (36, &0u32.to_be_bytes(), "L1 table"),
            (36, &u32::MAX.to_be_bytes(), "L1 table"),
            (40, &7u64.to_be_bytes(), "outside"),
            (40, &(1u64 << 60).to_be_bytes(), "outside"),
            (72, &2u64.to_be_bytes(), "corrupt"),
            (72, &4u64.to_be_bytes(), "another file"),
            (72, &16u64.to_be_bytes(), "extended"),
            (72, &(1u64 << 40).to_be_bytes(), "not known"),
            (100, &u32::MAX.to_be_bytes(), "header has"),
            (100, &96u32.to_be_bytes(), "header has"),
            (104, &[1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff], "extension"),
            (CLUSTER, &(1u64 << 50).to_be_bytes(), "where none can be"),
            (CLUSTER, &(5 * CLUSTER as u64).to_be_bytes(), "cannot be read"),
            (table, &(1u64 << 50).to_be_bytes(), "where none can be"),
            (table + 24, &((1u64 << 62) | (1 << 50)).to_be_bytes(), "where none can be"),
            (table + 24, &((1u64 << 62) | (3 * CLUSTER as u64)).to_be_bytes(), "unpacked"),
        ] {
            let text = changed(at, bytes);
            assert!(text.contains(word), "{at}: {text} is not {word}");
        }
        let whole = sample();
        for length in 0..whole.len() {
            // Cut anywhere, it is refused or read; nothing else happens.
            let _ = convert(&whole[..length]);
        }
    }

    #[test]
    fn a_backing_file_is_found_and_refused() {
        let mut image = sample();
        let name = b"/etc/shadow";
        image[8..16].copy_from_slice(&200u64.to_be_bytes());
        image[16..20].copy_from_slice(&(name.len() as u32).to_be_bytes());
        image[200..200 + name.len()].copy_from_slice(name);
        let header = read_header(&file(&image)).expect("header");
        assert_eq!(header.backing.as_deref(), Some("/etc/shadow"));
        assert!(convert(&image).expect_err("refused").to_string().contains("/etc/shadow"));
        image[8..16].copy_from_slice(&510u64.to_be_bytes());
        assert!(Header::parse(&image, image.len() as u64).expect_err("outside").to_string().contains("outside"));
    }

    #[test]
    fn qemus_own_images_come_out_as_they_went_in() {
        let dir = tempfile::tempdir().expect("tempdir");
        let raw = dir.path().join("raw");
        let mut bytes = vec![0u8; 3 << 20];
        for (index, byte) in bytes.iter_mut().enumerate().filter(|(index, _)| !(1 << 20..2 << 20).contains(index)) {
            *byte = (index / 1000) as u8;
        }
        std::fs::write(&raw, &bytes).expect("write");
        for options in
            [&["-c"][..], &["-o", "cluster_size=4k"], &["-c", "-o", "compression_type=zstd"], &["-o", "compat=0.10"]]
        {
            let qcow2 = dir.path().join("qcow2");
            let made = std::process::Command::new("qemu-img")
                .args(["convert", "-f", "raw", "-O", "qcow2"])
                .args(options)
                .args([&raw, &qcow2])
                .status();
            match made {
                Ok(status) => assert!(status.success(), "{options:?}"),
                Err(_) => {
                    println!("skipped: qemu-img is not installed");
                    return;
                }
            }
            let image = std::fs::read(&qcow2).expect("read");
            assert!(convert(&image).expect("convert") == bytes, "{options:?}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(2000))]

        #[test]
        fn a_spoiled_image_is_refused_or_read(
            changes in proptest::collection::vec((0usize..5 * CLUSTER + 100, proptest::num::u8::ANY), 1..8),
            head in proptest::collection::vec((0usize..112, proptest::num::u8::ANY), 0..4),
        ) {
            let mut bytes = sample();
            for (at, byte) in changes.into_iter().chain(head) {
                bytes[at] = byte;
            }
            if let Ok(mut image) = Image::open(file(&bytes)) {
                let mut buffer = vec![0; image.cluster_bytes() as usize];
                for index in 0..image.clusters().min(32) {
                    let _ = image.read(index, &mut buffer);
                }
            }
        }
    }
}
