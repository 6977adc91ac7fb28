//! A CD-ROM image with a few files in one directory: ISO 9660 (ECMA-119), and Joliet beside it for the names as they are.
//!
//! ```text
//! sector 16   primary volume descriptor        17  supplementary one (Joliet)    18  end of descriptors
//!        19   path tables: primary, both orders; Joliet, both orders             23  the directories, 24 Joliet's
//!        25   the files, each from a sector's start
//! ```
//!
//! Times are those of 1980: the same files give the same image.

/// ECMA-119 6.1.2.
const SECTOR: usize = 2048;
const PATH_TABLE: usize = 19;
const DIRECTORY: usize = 23;
const FILES: usize = 25;
/// A path table with the root alone (9.4): 8 bytes, an identifier of one byte, padding.
const PATH_TABLE_BYTES: u32 = 10;

/// Which of the two trees.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    Primary,
    Joliet,
}

/// The image of a volume called `label` with these files, whose directory fits into a sector: a dozen short names.
#[must_use]
pub fn image(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut placed = Vec::with_capacity(files.len());
    let mut next = FILES;
    for (name, bytes) in files {
        placed.push(File { name, sector: next as u32, bytes: bytes.len() as u32 });
        next += bytes.len().div_ceil(SECTOR);
    }
    let mut image = vec![0; next * SECTOR];
    for (tree, sector) in [(Tree::Primary, 16), (Tree::Joliet, 17)] {
        put(&mut image, sector, &descriptor(tree, label, next as u32));
        put(&mut image, directory_sector(tree), &directory(tree, &placed));
        let (table, root) = (table_sector(tree), directory_sector(tree) as u32);
        put(&mut image, table, &path_table(&root.to_le_bytes(), &1u16.to_le_bytes()));
        put(&mut image, table + 1, &path_table(&root.to_be_bytes(), &1u16.to_be_bytes()));
    }
    put(&mut image, 18, b"\xffCD001\x01");
    for (file, (_, bytes)) in placed.iter().zip(files) {
        put(&mut image, file.sector as usize, bytes);
    }
    image
}

struct File<'a> {
    name: &'a str,
    sector: u32,
    bytes: u32,
}

fn directory_sector(tree: Tree) -> usize {
    if tree == Tree::Primary { DIRECTORY } else { DIRECTORY + 1 }
}

fn table_sector(tree: Tree) -> usize {
    if tree == Tree::Primary { PATH_TABLE } else { PATH_TABLE + 2 }
}

fn put(image: &mut [u8], sector: usize, bytes: &[u8]) {
    image[sector * SECTOR..][..bytes.len()].copy_from_slice(bytes);
}

/// A number in both orders (7.2.3, 7.3.3).
fn both16(number: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (number.to_le_bytes(), number.to_be_bytes());
    [a, b, c, d]
}

fn both32(number: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// A text in its field: padded with spaces, two bytes a letter in the Joliet tree.
fn text(tree: Tree, text: &str, field: &mut [u8]) {
    let encoded: Vec<u8> = match tree {
        Tree::Primary => text.bytes().collect(),
        Tree::Joliet => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    };
    let blank: &[u8] = if tree == Tree::Primary { b" " } else { b"\0 " };
    for (slot, byte) in field.iter_mut().zip(encoded.iter().chain(blank.iter().cycle())) {
        *slot = *byte;
    }
}

/// 8.4 and 8.5.
fn descriptor(tree: Tree, label: &str, sectors: u32) -> Vec<u8> {
    let mut bytes = vec![0; SECTOR];
    bytes[0] = if tree == Tree::Primary { 1 } else { 2 };
    bytes[1..7].copy_from_slice(b"CD001\x01");
    text(tree, "", &mut bytes[8..40]);
    text(tree, label, &mut bytes[40..72]);
    bytes[80..88].copy_from_slice(&both32(sectors));
    if tree == Tree::Joliet {
        // UCS-2, level 3.
        bytes[88..91].copy_from_slice(b"%/E");
    }
    bytes[120..124].copy_from_slice(&both16(1));
    bytes[124..128].copy_from_slice(&both16(1));
    bytes[128..132].copy_from_slice(&both16(SECTOR as u16));
    bytes[132..140].copy_from_slice(&both32(PATH_TABLE_BYTES));
    let table = table_sector(tree) as u32;
    bytes[140..144].copy_from_slice(&table.to_le_bytes());
    bytes[148..152].copy_from_slice(&(table + 1).to_be_bytes());
    let root = record(&[0], directory_sector(tree) as u32, SECTOR as u32, true);
    bytes[156..156 + root.len()].copy_from_slice(&root);
    for field in [190..318, 318..446, 446..574, 574..702, 702..739, 739..776, 776..813] {
        text(tree, "", &mut bytes[field]);
    }
    // Four times: no time (8.4.26.1).
    for at in [813, 830, 847, 864] {
        bytes[at..at + 16].fill(b'0');
    }
    bytes[881] = 1;
    bytes
}

fn path_table(root: &[u8; 4], parent: &[u8; 2]) -> Vec<u8> {
    let mut bytes = vec![1, 0];
    bytes.extend(root);
    bytes.extend(parent);
    bytes.extend([0, 0]);
    bytes
}

fn directory(tree: Tree, files: &[File<'_>]) -> Vec<u8> {
    let own = directory_sector(tree) as u32;
    let mut bytes = record(&[0], own, SECTOR as u32, true);
    bytes.extend(record(&[1], own, SECTOR as u32, true));
    for file in files {
        let name: Vec<u8> = match tree {
            Tree::Primary => format!("{};1", file.name.to_ascii_uppercase()).into_bytes(),
            Tree::Joliet => file.name.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        };
        bytes.extend(record(&name, file.sector, file.bytes, false));
    }
    bytes
}

/// 9.1.
fn record(name: &[u8], sector: u32, bytes: u32, is_directory: bool) -> Vec<u8> {
    let length = (33 + name.len()).next_multiple_of(2);
    let mut record = vec![0; length];
    record[0] = length as u8;
    record[2..10].copy_from_slice(&both32(sector));
    record[10..18].copy_from_slice(&both32(bytes));
    // 1 January 1980.
    record[18..21].copy_from_slice(&[80, 1, 1]);
    record[25] = if is_directory { 2 } else { 0 };
    record[28..32].copy_from_slice(&both16(1));
    record[32] = name.len() as u8;
    record[33..33 + name.len()].copy_from_slice(name);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_directories_and_files_are_where_they_say() {
        let long = vec![b'x'; 5000];
        let image = image("cidata", &[("meta-data", b"a"), ("user-data", &long)]);
        assert_eq!(image.len(), (FILES + 1 + 3) * SECTOR);
        assert_eq!(&image[16 * SECTOR..][..7], b"\x01CD001\x01");
        assert_eq!(&image[16 * SECTOR + 40..][..8], b"cidata  ");
        assert_eq!(&image[17 * SECTOR + 40..][..12], b"\0c\0i\0d\0a\0t\0a");
        assert_eq!((image[FILES * SECTOR], image[(FILES + 1) * SECTOR + 4999]), (b'a', b'x'));
        let directory = &image[DIRECTORY * SECTOR..][..SECTOR];
        assert!(directory.windows(11).any(|part| part == b"USER-DATA;1"));
    }

    #[test]
    fn the_kernel_mounts_it_with_its_names() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (path, point) = (dir.path().join("seed.iso"), dir.path().join("point"));
        std::fs::write(
            &path,
            image("cidata", &[("network-config", b"version: 2\n"), ("user-data", b"#cloud-config\n")]),
        )
        .expect("write");
        std::fs::create_dir(&point).expect("mkdir");
        let blkid = std::process::Command::new("blkid").args(["-o", "value", "-s", "LABEL"]).arg(&path).output();
        if let Ok(output) = blkid.as_ref()
            && output.status.success()
        {
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "cidata");
        }
        let mounted = std::process::Command::new("mount").args(["-o", "loop,ro"]).args([&path, &point]).output();
        match mounted {
            Ok(output) if output.status.success() => {}
            other => {
                println!("skipped: this kernel mounts no such image: {other:?}");
                return;
            }
        }
        let read = std::fs::read_to_string(point.join("network-config"));
        let user = std::fs::read_to_string(point.join("user-data"));
        std::process::Command::new("umount").arg(&point).status().expect("umount");
        assert_eq!((read.expect("read"), user.expect("read")), ("version: 2\n".into(), "#cloud-config\n".into()));
    }
}
