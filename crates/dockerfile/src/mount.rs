//! `RUN --mount`: its fields, read when written without variables and again when they have values.

use crate::span::{Span, Spanned};

/// A `--mount` as written; [`MountFlag::resolve`] reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountFlag {
    /// `type=…,target=…`.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A mount of one `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: Kind,
    /// Where; none where the kind has a place of its own.
    pub target: Option<String>,
}

/// The kinds of mounts, with what belongs to each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Files of a stage, an image or the context. Writes go nowhere.
    Bind {
        /// A stage, a context or an image; the context when none.
        from: Option<String>,
        /// The path in it; its root when none.
        source: Option<String>,
        /// `rw`.
        writable: bool,
    },
    /// A folder that lives between builds.
    Cache {
        /// Its name; the target when none.
        id: Option<String>,
        /// Its first content: a stage, a context or an image.
        from: Option<String>,
        /// The path in `from`.
        source: Option<String>,
        /// `ro`.
        read_only: bool,
        /// Who may use it at the same time.
        sharing: Sharing,
        /// Mode of a new folder.
        mode: u32,
        /// Owner of a new folder.
        uid: u32,
        /// Group of a new folder.
        gid: u32,
    },
    /// Memory.
    Tmpfs {
        /// Its limit in bytes.
        size_bytes: Option<u64>,
    },
    /// A secret, as a file or as a variable.
    Secret {
        /// Its name; the last part of the target when none.
        id: Option<String>,
        /// The variable it stands in; then a file only where `target` is given too.
        env: Option<String>,
        /// The build fails without it.
        required: bool,
        /// Mode of the file.
        mode: u32,
        /// Owner of the file.
        uid: u32,
        /// Group of the file.
        gid: u32,
    },
    /// The client's SSH agent.
    Ssh {
        /// Its name; `default` when none.
        id: Option<String>,
        /// The build fails without it.
        required: bool,
        /// Mode of the socket.
        mode: u32,
        /// Owner of the socket.
        uid: u32,
        /// Group of the socket.
        gid: u32,
    },
}

/// Who may use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Each user has its own.
    Private,
    /// One waits for the other.
    Locked,
}

impl MountFlag {
    /// Reads the fields, each value passed through `expand` first.
    ///
    /// # Errors
    /// A sentence naming the field that is wrong; what `expand` fails with.
    pub fn resolve(&self, expand: impl Fn(&str) -> Result<String, String>) -> Result<Mount, String> {
        parse(&self.text, expand)
    }

    /// Whether values stand in it that only the build knows.
    #[must_use]
    pub fn has_variables(&self) -> bool {
        self.text.contains('$')
    }
}

#[derive(Default)]
struct Fields {
    kind: Option<String>,
    from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    id: Option<String>,
    env: Option<String>,
    read_only: Option<bool>,
    required: bool,
    sharing: Option<Sharing>,
    size_bytes: Option<u64>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

/// Reads `key=value,key=value`.
///
/// # Errors
/// A sentence naming the field that is wrong.
fn parse(text: &str, expand: impl Fn(&str) -> Result<String, String>) -> Result<Mount, String> {
    let mut fields = Fields::default();
    for field in csv(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
            None => (field.to_ascii_lowercase(), None),
        };
        if key == "from" && value.is_some_and(|value| value.contains('$')) {
            let value = value.unwrap_or_default();
            return Err(format!("'{value}' doesn't support variable expansion, define alias stage instead"));
        }
        let value = value.map(&expand).transpose()?;
        set(&mut fields, &key, value, &field)?;
    }
    fields.finish()
}

fn set(fields: &mut Fields, key: &str, value: Option<String>, field: &str) -> Result<(), String> {
    let flag = |value: Option<String>| match value.as_deref() {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("invalid value for {key}: {other}")),
    };
    match key {
        "readonly" | "ro" => fields.read_only = Some(flag(value)?),
        "readwrite" | "rw" => fields.read_only = Some(!flag(value)?),
        "required" => fields.required = flag(value)?,
        "type" | "from" | "source" | "src" | "target" | "dst" | "destination" | "id" | "env" | "sharing" | "size"
        | "mode" | "uid" | "gid" => {
            let value = value.ok_or_else(|| format!("invalid field '{field}' must be a key=value pair"))?;
            set_value(fields, key, value)?;
        }
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

fn set_value(fields: &mut Fields, key: &str, value: String) -> Result<(), String> {
    let number = || value.parse::<u32>().map_err(|_| format!("invalid value {value:?} for {key}"));
    match key {
        "type" => fields.kind = Some(value.to_ascii_lowercase()),
        "from" => fields.from = Some(value),
        "source" | "src" => fields.source = Some(value),
        "target" | "dst" | "destination" => fields.target = Some(value),
        "id" => fields.id = Some(value),
        "env" => fields.env = Some(value),
        "size" => {
            let bytes = berth_kit::size::parse_bytes(&value).map_err(|_| format!("invalid value for size: {value}"))?;
            fields.size_bytes = Some(u64::try_from(bytes).map_err(|_| format!("invalid value for size: {value}"))?);
        }
        "mode" => {
            let mode = u32::from_str_radix(&value, 8).ok().filter(|mode| *mode <= 0o7777);
            fields.mode = Some(mode.ok_or_else(|| format!("invalid value {value:?} for mode"))?);
        }
        "uid" => fields.uid = Some(number()?),
        "gid" => fields.gid = Some(number()?),
        _ => {
            fields.sharing = Some(match value.to_ascii_lowercase().as_str() {
                "shared" => Sharing::Shared,
                "private" => Sharing::Private,
                "locked" => Sharing::Locked,
                _ => return Err(format!("unsupported sharing value {value:?}")),
            });
        }
    }
    Ok(())
}

impl Fields {
    fn finish(self) -> Result<Mount, String> {
        let kind = self.kind.as_deref().unwrap_or("bind");
        self.refuse_foreign(kind)?;
        let target = || self.target.clone().filter(|target| !target.is_empty());
        let needs = || target().ok_or_else(|| "target required".to_owned()).map(Some);
        let (uid, gid) = (self.uid.unwrap_or(0), self.gid.unwrap_or(0));
        let (kind, target) = match kind {
            "bind" => {
                let writable = self.read_only == Some(false);
                (Kind::Bind { from: self.from.clone(), source: self.source.clone(), writable }, needs()?)
            }
            "cache" => {
                let cache = Kind::Cache {
                    id: self.id.clone(),
                    from: self.from.clone(),
                    source: self.source.clone(),
                    read_only: self.read_only == Some(true),
                    sharing: self.sharing.unwrap_or_default(),
                    mode: self.mode.unwrap_or(0o755),
                    uid,
                    gid,
                };
                (cache, needs()?)
            }
            "tmpfs" => (Kind::Tmpfs { size_bytes: self.size_bytes }, needs()?),
            "secret" => {
                // `source` is an older name of `id`.
                let id = self.id.clone().or_else(|| self.source.clone());
                if id.is_none() && self.target.is_none() {
                    return Err("secret mount should have an id or a target".to_owned());
                }
                let mode = self.mode.unwrap_or(0o400);
                (Kind::Secret { id, env: self.env.clone(), required: self.required, mode, uid, gid }, target())
            }
            "ssh" => {
                let mode = self.mode.unwrap_or(0o600);
                let id = self.id.clone().or_else(|| self.source.clone());
                (Kind::Ssh { id, required: self.required, mode, uid, gid }, target())
            }
            other => return Err(format!("unsupported mount type {other:?}")),
        };
        Ok(Mount { kind, target })
    }

    /// A field that means nothing to a kind is a mistake.
    fn refuse_foreign(&self, kind: &str) -> Result<(), String> {
        let given = [
            ("from", self.from.is_some(), &["bind", "cache"][..]),
            ("source", self.source.is_some(), &["bind", "cache", "secret", "ssh"]),
            ("id", self.id.is_some(), &["cache", "secret", "ssh"]),
            ("env", self.env.is_some(), &["secret"]),
            ("readonly", self.read_only.is_some(), &["bind", "cache"]),
            ("required", self.required, &["secret", "ssh"]),
            ("sharing", self.sharing.is_some(), &["cache"]),
            ("size", self.size_bytes.is_some(), &["tmpfs"]),
            ("mode", self.mode.is_some(), &["cache", "secret", "ssh"]),
            ("uid", self.uid.is_some(), &["cache", "secret", "ssh"]),
            ("gid", self.gid.is_some(), &["cache", "secret", "ssh"]),
        ];
        match given.iter().find(|(_, given, kinds)| *given && !kinds.contains(&kind)) {
            Some((field, ..)) if ["bind", "cache", "tmpfs", "secret", "ssh"].contains(&kind) => {
                Err(format!("unexpected key '{field}' for mount type '{kind}'"))
            }
            _ => Ok(()),
        }
    }
}

/// Fields at commas; a field in double quotes may hold commas, a doubled quote is one quote.
fn csv(text: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut open = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(field) = fields.last_mut() else { break };
        match character {
            '"' if open && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' if open => open = false,
            '"' if field.is_empty() => open = true,
            '"' => return Err(format!("bare \" in mount {text:?}")),
            ',' if !open => fields.push(String::new()),
            other => field.push(other),
        }
    }
    match open {
        true => Err(format!("missing \" in mount {text:?}")),
        false => Ok(fields),
    }
}

/// A mount flag as the parser sees it: read at once where nothing is left to expand.
pub(crate) fn flag(word: Spanned<String>) -> Result<MountFlag, String> {
    let flag = MountFlag { text: word.value, span: word.span };
    match flag.has_variables() {
        true => {
            // A stand-in value finds unknown keys and variables where none may stand; kinds are checked later.
            for field in csv(&flag.text)? {
                let (key, value) = field.split_once('=').unwrap_or((&field, ""));
                if key.eq_ignore_ascii_case("from") && value.contains('$') {
                    return Err(format!("'{value}' doesn't support variable expansion, define alias stage instead"));
                }
                if value.contains('$') {
                    continue;
                }
                let value = field.contains('=').then(|| value.to_owned());
                set(&mut Fields::default(), &key.to_ascii_lowercase(), value, &field)?;
            }
        }
        false => {
            flag.resolve(|value| Ok(value.to_owned()))?;
        }
    }
    Ok(flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Mount, String> {
        parse(text, |value| Ok(value.replace("$V", "/v")))
    }

    #[test]
    fn each_kind_has_its_fields() {
        let bind = read("from=base,src=/a,dst=$V,rw").expect("bind is the usual kind");
        assert_eq!(bind.target.as_deref(), Some("/v"));
        assert_eq!(bind.kind, Kind::Bind { from: Some("base".into()), source: Some("/a".into()), writable: true });
        let cache = read("type=cache,target=/c,sharing=locked,mode=0700,uid=5,gid=6,id=x").expect("cache");
        let Kind::Cache { sharing, mode, uid, gid, id, .. } = cache.kind else { panic!("not a cache") };
        assert_eq!((sharing, mode, uid, gid, id.as_deref()), (Sharing::Locked, 0o700, 5, 6, Some("x")));
        assert_eq!(
            read("type=tmpfs,target=/t,size=64m").expect("tmpfs").kind,
            Kind::Tmpfs { size_bytes: Some(64 << 20) }
        );
        let secret = read("type=secret,id=key,env=KEY,required").expect("secret");
        assert!(matches!(secret.kind, Kind::Secret { required: true, mode: 0o400, .. }));
        assert!(matches!(read("type=ssh").expect("ssh").kind, Kind::Ssh { required: false, mode: 0o600, .. }));
        assert_eq!(read("\"source=/a,b\",target=/x").expect("quoted").kind.source(), Some("/a,b"));
    }

    #[test]
    fn mistakes_are_named() {
        let cases = [
            ("target", "invalid field 'target' must be a key=value pair"),
            ("colour=red", "unexpected key 'colour' in 'colour=red'"),
            ("type=nfs,target=/x", "unsupported mount type \"nfs\""),
            ("type=bind", "target required"),
            ("type=tmpfs,target=/t,id=a", "unexpected key 'id' for mount type 'tmpfs'"),
            ("type=cache,target=/c,sharing=some", "unsupported sharing value \"some\""),
            ("type=cache,target=/c,mode=9", "invalid value \"9\" for mode"),
            ("type=cache,target=/c,uid=-1", "invalid value \"-1\" for uid"),
            ("type=secret", "secret mount should have an id or a target"),
            ("from=$x,target=/a", "'$x' doesn't support variable expansion, define alias stage instead"),
            ("\"a", "missing \" in mount \"\\\"a\""),
        ];
        for (text, message) in cases {
            assert_eq!(read(text).expect_err(text), message, "{text}");
        }
    }

    impl Kind {
        fn source(&self) -> Option<&str> {
            match self {
                Self::Bind { source, .. } | Self::Cache { source, .. } => source.as_deref(),
                _ => None,
            }
        }
    }
}
