//! `--mount type=bind,source=...,target=...`.

use super::csv;
use super::label::object;
use crate::grammar::number;
use serde_json::{Map, Value, json};

/// Judges one `--mount`.
pub fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// The JSON of one `--mount`.
///
/// # Errors
/// Docker's text.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut mount = Mount { kind: "volume".to_owned(), ..Mount::default() };
    for field in csv::fields(text)? {
        mount.field(&field)?;
    }
    if mount.kind.is_empty() {
        return Err("type is required".into());
    }
    mount.finish()
}

#[derive(Default)]
struct Mount {
    kind: String,
    plain: Map<String, Value>,
    bind: Map<String, Value>,
    volume: Map<String, Value>,
    labels: Vec<String>,
    driver: String,
    driver_options: Vec<String>,
    tmpfs: Map<String, Value>,
    image: Map<String, Value>,
}

impl Mount {
    fn field(&mut self, field: &str) -> Result<(), String> {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        let key = key.as_str();
        let value = match (key, value) {
            ("readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive" | "bind-create-src", None) => "true",
            (_, Some(value)) => value,
            (_, None) => return Err(format!("invalid field '{field}' must be a key=value pair")),
        };
        let boolean =
            || number::boolean(value).ok_or_else(|| format!("invalid value for {key}: {value}")).map(Value::from);
        match key {
            "type" => self.kind = value.to_ascii_lowercase(),
            "source" | "src" => {
                let relative = value == "." || value == ".." || value.starts_with("./") || value.starts_with("../");
                let source = if relative { super::volume::absolute(value)? } else { value.to_owned() };
                self.plain.insert("Source".into(), source.into());
            }
            "target" | "dst" | "destination" => {
                self.plain.insert("Target".into(), value.into());
            }
            "readonly" | "ro" => {
                self.plain.insert("ReadOnly".into(), boolean()?);
            }
            "consistency" => {
                self.plain.insert("Consistency".into(), value.to_ascii_lowercase().into());
            }
            "bind-propagation" => {
                self.bind.insert("Propagation".into(), value.to_ascii_lowercase().into());
            }
            "bind-nonrecursive" => {
                self.bind.insert("NonRecursive".into(), boolean()?);
            }
            "bind-create-src" => {
                self.bind.insert("CreateMountpoint".into(), boolean()?);
            }
            "bind-recursive" => self.recursive(value)?,
            "volume-subpath" => {
                self.volume.insert("Subpath".into(), value.into());
            }
            "volume-nocopy" => {
                let flag = number::boolean(value).ok_or_else(|| format!("invalid value for volume-nocopy: {value}"))?;
                self.volume.insert("NoCopy".into(), flag.into());
            }
            "volume-label" => self.labels.push(value.to_owned()),
            "volume-driver" => value.clone_into(&mut self.driver),
            "volume-opt" => self.driver_options.push(value.to_owned()),
            "image-subpath" => {
                self.image.insert("Subpath".into(), value.into());
            }
            "tmpfs-size" => {
                let size = berth_kit::size::parse_bytes(value);
                let size = size.map_err(|_| format!("invalid value for {key}: {value}"))?;
                self.tmpfs.insert("SizeBytes".into(), size.into());
            }
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(value, 8).map_err(|_| format!("invalid value for {key}: {value}"))?;
                self.tmpfs.insert("Mode".into(), mode.into());
            }
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
        Ok(())
    }

    fn recursive(&mut self, value: &str) -> Result<(), String> {
        match value {
            "enabled" => {}
            "disabled" => {
                self.bind.insert("NonRecursive".into(), true.into());
            }
            "writable" => {
                self.bind.insert("ReadOnlyNonRecursive".into(), true.into());
            }
            "readonly" => {
                self.bind.insert("ReadOnlyForceRecursive".into(), true.into());
            }
            _ => {
                return Err(format!(
                    "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \"writable\", or \
                     \"readonly\")"
                ));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Value, String> {
        if self.plain.get("Target").and_then(Value::as_str).unwrap_or("").is_empty() {
            return Err("target is required".into());
        }
        if !self.driver.is_empty() || !self.driver_options.is_empty() {
            let options = object(self.driver_options.iter().map(String::as_str));
            self.volume.insert("DriverConfig".into(), json!({"Name": self.driver, "Options": options}));
        }
        if !self.labels.is_empty() {
            self.volume.insert("Labels".into(), object(self.labels.iter().map(String::as_str)).into());
        }
        let mut mount = Map::from_iter([("Type".to_owned(), Value::from(self.kind.as_str()))]);
        mount.extend(self.plain);
        for (kind, key, options) in [
            ("bind", "BindOptions", self.bind),
            ("volume", "VolumeOptions", self.volume),
            ("tmpfs", "TmpfsOptions", self.tmpfs),
            ("image", "ImageOptions", self.image),
        ] {
            if options.is_empty() {
                continue;
            }
            if self.kind != kind {
                return Err(format!("cannot mix '{kind}-*' options with mount type '{}'", self.kind));
            }
            mount.insert(key.into(), options.into());
        }
        Ok(mount.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good() {
        for (text, json) in [
            ("type=bind,src=/a,dst=/b,ro", r#"{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true}"#),
            ("target=/v", r#"{"Type":"volume","Target":"/v"}"#),
            (
                "type=volume,src=v,target=/v,volume-opt=a=b,volume-nocopy",
                r#"{"Type":"volume","Source":"v","Target":"/v","VolumeOptions":{"NoCopy":true,"DriverConfig":{"Name":"","Options":{"a":"b"}}}}"#,
            ),
            (
                "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770",
                r#"{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576,"Mode":1016}}"#,
            ),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), json);
        }
    }

    #[test]
    fn bad() {
        for (text, why) in [
            ("type=foo", "target is required"),
            ("x", "invalid field 'x' must be a key=value pair"),
            ("foo=1,target=/x", "unexpected key 'foo' in 'foo=1'"),
            ("target=/x,readonly=maybe", "invalid value for readonly: maybe"),
            ("type=bind,target=/x,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
            ("type=tmpfs,target=/x,tmpfs-size=huge", "invalid value for tmpfs-size: huge"),
            ("type=,target=/x", "type is required"),
        ] {
            assert_eq!(parse(text).unwrap_err(), why, "{text}");
        }
    }
}
