//! What extension headers say about the entry after them.

use super::pax;

/// Values that stand in for those of the next header.
#[derive(Default)]
pub struct Extension {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<(i64, u32)>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: SparseKeys,
}

/// What the PAX forms of sparse files write into records.
#[derive(Default)]
pub struct SparseKeys {
    pub major: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub numbers: Option<Vec<u64>>,
}

impl Extension {
    /// Takes over the records of a PAX header; the error is what is wrong with them. Unknown keys are left out.
    pub fn add_pax(&mut self, data: &[u8]) -> Result<(), &'static str> {
        const XATTR: &[u8] = b"SCHILY.xattr.";
        for (key, value) in pax::records(data).ok_or("spoiled extended header")? {
            let number = || decimal(value).ok_or("spoiled number in an extended header");
            let id = || number().and_then(|id| u32::try_from(id).map_err(|_| "user or group id too large"));
            match key {
                // An empty value takes back what an earlier header said.
                b"path" => self.path = Some(value.to_vec()).filter(|value| !value.is_empty()),
                b"linkpath" => self.link = Some(value.to_vec()).filter(|value| !value.is_empty()),
                b"size" => self.size = Some(number()?),
                b"uid" => self.uid = Some(id()?),
                b"gid" => self.gid = Some(id()?),
                b"mtime" => self.mtime = Some(pax::time(value).ok_or("spoiled modification time")?),
                b"GNU.sparse.major" => self.sparse.major = Some(number()?),
                b"GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = Some(number()?),
                b"GNU.sparse.map" => {
                    let numbers = value.split(|byte| *byte == b',').map(decimal).collect::<Option<Vec<_>>>();
                    self.sparse.numbers = Some(numbers.ok_or("spoiled sparse map")?);
                }
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                    self.sparse.numbers.get_or_insert_default().push(number()?);
                }
                _ => {
                    if let Some(name) = key.strip_prefix(XATTR) {
                        self.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// A number in decimal digits.
pub fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
