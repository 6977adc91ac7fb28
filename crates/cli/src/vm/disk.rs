//! `--disk` and `--cdrom`: fields of one record into a disk of the definition, and how its file comes to be.

use crate::option::csv;
use serde_json::{Value, json};

/// What help says of `--disk`.
pub const HELP: &str = "Add a disk (\"size=10g\", \"from=IMAGE[,size=20g]\" for a copy, \"path=FILE\" for a file of the host; with \
     name=, format=raw|qcow2, bus=virtio|sata, readonly, allow-backing)";

/// The disk called `index` unless it has a name: (disk, how its file comes to be).
///
/// # Errors
/// The field that is wrong.
pub fn parse(line: &str, index: usize) -> Result<(Value, Option<Value>), String> {
    let refuse = |why: String| format!("invalid --disk {line:?}: {why}");
    let (mut name, mut path, mut from, mut size) = (format!("disk{index}"), None, None, None);
    let mut disk = json!({});
    for field in csv::fields(line)? {
        let (key, value) = field.split_once('=').unwrap_or((&field, ""));
        match (key, value) {
            ("name", value) => value.clone_into(&mut name),
            ("path", value) => path = Some(value.to_owned()),
            ("from", value) => from = Some(value.to_owned()),
            ("size", value) => {
                let bytes = berth_kit::size::parse_bytes(value).map_err(|error| refuse(error.to_string()))?;
                size = Some(bytes);
            }
            ("format" | "bus", value) => disk[key] = value.into(),
            ("readonly", "" | "true") => disk["read_only"] = true.into(),
            ("allow-backing", "" | "true") => disk["allow_backing"] = true.into(),
            _ => return Err(refuse(format!("unknown field {field:?}"))),
        }
    }
    disk["name"] = name.clone().into();
    let fill = match (&path, &from, size) {
        (Some(path), None, None) => {
            disk["source"] = path.clone().into();
            None
        }
        (None, None, None) => return Err(refuse("it needs size=, from= or path=".to_owned())),
        (None, _, _) => {
            // Whatever is copied becomes raw.
            disk["source"] = format!("{name}.raw").into();
            let mut fill = json!({"name": format!("{name}.raw")});
            if let Some(from) = &from {
                fill["from"] = from.clone().into();
            }
            if let Some(size) = size {
                fill["size_bytes"] = size.into();
            }
            Some(fill)
        }
        (Some(_), _, _) => return Err(refuse("path= goes with neither from= nor size=".to_owned())),
    };
    Ok((disk, fill))
}

/// A CD-ROM with an image of the host.
#[must_use]
pub fn cdrom(path: &str, index: usize) -> Value {
    json!({"name": format!("cdrom{index}"), "source": path, "device": "cdrom"})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_become_disks() {
        let (disk, fill) = parse("size=1g", 0).unwrap();
        assert_eq!(disk, json!({"name": "disk0", "source": "disk0.raw"}));
        assert_eq!(fill.unwrap(), json!({"name": "disk0.raw", "size_bytes": 1 << 30}));
        let (disk, fill) = parse("path=/a.qcow2,format=qcow2,readonly,name=data", 1).unwrap();
        assert_eq!(disk, json!({"name": "data", "source": "/a.qcow2", "format": "qcow2", "read_only": true}));
        assert!(fill.is_none());
        for (line, word) in
            [("", "unknown field"), ("format=raw", "needs"), ("path=/a,size=1g", "neither"), ("a=b", "a=b")]
        {
            assert!(parse(line, 0).unwrap_err().contains(word), "{line}");
        }
    }
}
