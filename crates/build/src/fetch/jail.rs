//! The host's git, run in a container: it sees the host's programs read-only, one folder to write to and the host's
//! network, and has no rights.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use berth_container::{StepMount, StepRequest};
use berth_spec::{
    model::{ContainerConfig, HostConfig},
    stream::Decoder,
};
use tokio::io::AsyncReadExt;

use crate::{Error, Result, builder::Shared, context::blocking, layer::Scratch};

/// Where the host may have the program.
const PLACES: &[&str] = &["/usr/bin/git", "/usr/local/bin/git"];
/// Folders of programs, and of what says which servers are believed.
const SEEN: &[&str] = &["/usr", "/etc/ssl", "/etc/pki", "/etc/ca-certificates"];
/// Links of a host whose programs all lie below /usr, folders elsewhere.
const LINKS: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64"];
/// Who git is in its jail.
pub(super) const USER: u32 = 65534;
/// Where it works.
const WORK: &str = "/work";
/// Bytes of output that are kept.
const OUTPUT_MAX: usize = 8 << 20;
/// Bytes of an error that are shown.
const SHOWN_MAX: usize = 2000;
/// Processes of one call.
const PIDS_MAX: i64 = 256;

/// A place to call git in.
pub(super) struct Jail {
    shared: Arc<Shared>,
    program: &'static str,
    /// The folder that is written to.
    pub work: PathBuf,
    env: Vec<(String, String)>,
    mounts: Vec<StepMount>,
}

impl Jail {
    /// Around a folder, which is given to git's user.
    pub fn new(shared: &Arc<Shared>, work: &Path) -> Result<Self> {
        let program = PLACES.iter().copied().find(|path| Path::new(path).is_file()).ok_or_else(|| {
            let text = "a git repository needs the program git, which is not installed on the engine's host: \
                        install it there, or send the files as the context";
            Error::Missing(text.to_owned())
        })?;
        std::os::unix::fs::chown(work, Some(USER), Some(USER)).map_err(Error::file("chown", work))?;
        let settings = [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ALLOW_PROTOCOL", "http:https:git:ssh"),
            ("GIT_ASKPASS", "/bin/false"),
            ("HOME", "/tmp"),
            ("LC_ALL", "C"),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ];
        let env = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let mut jail = Self { shared: Arc::clone(shared), program, work: work.to_owned(), env, mounts: Vec::new() };
        let see = |path: &&&str| Path::new(path).is_dir();
        for path in SEEN.iter().filter(see) {
            jail.bind(Path::new(path), path, false);
        }
        for name in LINKS {
            let path = format!("/{name}");
            let is_folder = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_dir());
            if is_folder {
                jail.bind(Path::new(&path), &path, false);
            }
        }
        let work = jail.work.clone();
        jail.bind(&work, WORK, true);
        Ok(jail)
    }

    /// Shows something more.
    pub fn bind(&mut self, source: &Path, destination: &str, writable: bool) {
        let source = Some(source.to_owned());
        self.mounts.push(StepMount {
            source,
            destination: destination.to_owned(),
            writable,
            tmpfs_options: Vec::new(),
        });
    }

    /// Gives a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Gives settings beside those of every call.
    pub fn configure(&mut self, more: &[(String, String)]) {
        let own = [
            ("core.hooksPath", "/dev/null"),
            ("init.defaultBranch", "main"),
            ("advice.detachedHead", "false"),
            ("gc.auto", "0"),
            ("safe.directory", "*"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let all: Vec<_> = own.iter().chain(more).cloned().collect();
        self.set("GIT_CONFIG_COUNT", &all.len().to_string());
        for (number, (name, value)) in all.iter().enumerate() {
            self.set(&format!("GIT_CONFIG_KEY_{number}"), name);
            self.set(&format!("GIT_CONFIG_VALUE_{number}"), value);
        }
    }

    /// Calls git; gives what it says, or what it complains of.
    pub async fn git(&self, words: &[&str]) -> Result<std::result::Result<String, String>> {
        let snapshots = Arc::clone(&self.shared.snapshots);
        let scratch = blocking(move || {
            let scratch = Scratch::create(&snapshots, None)?;
            furnish(&scratch)?;
            Ok(scratch)
        })
        .await?;
        let env = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let argv = std::iter::once(self.program).chain(words.iter().copied()).map(str::to_owned).collect();
        let request = StepRequest {
            rootfs: scratch.rootfs(),
            config: ContainerConfig {
                cmd: Some(argv),
                env: Some(env),
                user: Some(format!("{USER}:{USER}")),
                working_dir: Some(WORK.to_owned()),
                ..ContainerConfig::default()
            },
            host: HostConfig {
                network_mode: Some("host".to_owned()),
                cap_drop: Some(vec!["ALL".to_owned()]),
                security_opt: Some(vec!["no-new-privileges".to_owned()]),
                pids_limit: Some(PIDS_MAX),
                ..HostConfig::default()
            },
            mounts: self.mounts.clone(),
        };
        let outcome = self.follow(request).await;
        drop(scratch);
        outcome
    }

    async fn follow(&self, request: StepRequest) -> Result<std::result::Result<String, String>> {
        let mut running = self.shared.containers.run_step(request).await?;
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let mut decoder = Decoder::default();
        let mut buffer = vec![0u8; 32 << 10];
        loop {
            let read = running.output.read(&mut buffer).await.map_err(Error::file("read", "the output of git"))?;
            if read == 0 {
                break;
            }
            decoder.push(&buffer[..read]);
            while let Ok(Some((stream, bytes))) = decoder.next_frame() {
                let to: &mut Vec<u8> = if stream as u8 == 1 { &mut said } else { &mut complained };
                let room = OUTPUT_MAX.saturating_sub(to.len());
                to.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
        let exit = running.wait().await;
        running.finish().await;
        match exit?.code {
            0 => Ok(Ok(String::from_utf8_lossy(&said).into_owned())),
            code => Ok(Err(words_of(&complained, code))),
        }
    }
}

/// The end of what git complains of, for one line.
fn words_of(complained: &[u8], code: i64) -> String {
    let text = String::from_utf8_lossy(complained);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("hint:"));
    let all: Vec<String> =
        lines.map(|line| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()).collect();
    let mut text = all.join("; ");
    if text.len() > SHOWN_MAX {
        let at = (text.len() - SHOWN_MAX..).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text = text.split_off(at);
    }
    if text.is_empty() { format!("git ended with code {code}") } else { text }
}

/// What programs expect to find.
fn furnish(scratch: &Scratch) -> Result<()> {
    let root = crate::tree::Tree::new(scratch.mount(false)?, None, None);
    let options = crate::copy::CopyOptions::default();
    let passwd = format!("root:x:0:0::/:/bin/sh\nnobody:x:{USER}:{USER}::/tmp:/bin/sh\n");
    crate::copy::write(root.root(), "/etc/passwd", passwd.as_bytes(), 0o644, &options)?;
    let group = format!("root:x:0:\nnogroup:x:{USER}:\n");
    crate::copy::write(root.root(), "/etc/group", group.as_bytes(), 0o644, &options)?;
    drop(crate::place::ensure_directory(root.root(), "/tmp", (USER, USER))?);
    for name in LINKS {
        if let Ok(target) = std::fs::read_link(format!("/{name}")) {
            rustix::fs::symlinkat(target, root.root(), *name).map_err(Error::call("link", name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_fit_into_a_line() {
        assert_eq!(words_of(b"fatal: a\nhint: b\n\x1b[2Jx\n", 1), "fatal: a;  [2Jx");
        assert_eq!(words_of(b"", 128), "git ended with code 128");
        assert!(words_of("ä".repeat(5000).as_bytes(), 1).len() <= SHOWN_MAX);
    }
}
