//! Repositories: the commit that a ref means now, and a checkout of it.

use std::{
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::fs::{AtFlags, Gid, OFlags, Uid};

use super::{Asker, Fetched, Git, address, jail::Jail};
use crate::{Error, Result, checksum, context::blocking, mount::Mounts, tree, usage};

/// Where the client's SSH agent is in the jail.
const AGENT: &str = "/run/ssh-agent";

impl Asker<'_> {
    /// Brings a repository's folder.
    pub async fn git(&self, git: &Git) -> Result<Fetched> {
        let _turn = self.shared.remotes.turn(&git.url).await;
        let work = self.shared.remotes.draft()?;
        let mut mounts = Mounts::default();
        let jail = self.jail(git, &work.0, &mut mounts).await?;
        let (commit, name) = resolve(&jail, git).await?;
        if let Some(wanted) = git.checksum.as_ref().filter(|wanted| !commit.starts_with(wanted.as_str())) {
            let text = format!("{}: expected checksum to match {wanted}, got {commit}", git.url);
            return Err(Error::Invalid(text));
        }
        let identity = format!("{} {commit} {} {}", git.url, git.keep_git_dir, git.submodules);
        let key = format!("git-{}", checksum::hex(&checksum::of_bytes(identity.as_bytes())));
        let (path, guard) = match self.shared.remotes.hold(&key) {
            Some(here) => here,
            None => {
                check_out(&jail, git, &commit, &name).await?;
                let root = work.0.clone();
                blocking(move || {
                    let root = std::fs::File::open(&root).map_err(Error::file("open", &root))?;
                    own_all(root.as_fd())
                })
                .await?;
                drop((jail, mounts));
                self.shared.remotes.keep(work, &key)?
            }
        };
        self.note(&key, &format!("{}#{commit}", git.url), usage::GIT)?;
        let path = match &git.folder {
            None => path,
            Some(folder) => below(&path, folder)?,
        };
        let identity = format!("{identity} {:?}", git.folder);
        Ok(Fetched { path, file: None, identity, commit: Some(commit), guard })
    }

    async fn jail(&self, git: &Git, work: &Path, mounts: &mut Mounts) -> Result<Jail> {
        let mut jail = Jail::new(self.shared, work)?;
        let mut settings = Vec::new();
        if let Some(header) = self.git_authorization().await?
            && git.url.starts_with("http")
        {
            let origin: Vec<&str> = git.url.splitn(4, '/').take(3).collect();
            settings.push((format!("http.{}/.extraheader", origin.join("/")), format!("Authorization: {header}")));
        }
        if !git.url.starts_with("http") && !git.url.starts_with("git://") {
            let command = "ssh -F /dev/null -o BatchMode=yes -o UserKnownHostsFile=/tmp/known_hosts \
                           -o StrictHostKeyChecking=accept-new";
            jail.set("GIT_SSH_COMMAND", command);
            if self.client.has_ssh("default").await {
                let folder = self.shared.contexts.temporary()?;
                let socket = folder.path.join("agent");
                crate::mount::serve_ssh(Arc::clone(self.client), "default".to_owned(), &socket, mounts)?;
                let user = Some(super::jail::USER);
                std::os::unix::fs::chown(&socket, user, user).map_err(Error::file("chown", &socket))?;
                jail.bind(&socket, AGENT, true);
                jail.set("SSH_AUTH_SOCK", AGENT);
                mounts.held.push(Box::new(folder));
            }
        }
        jail.configure(&settings);
        Ok(jail)
    }

    /// What the client's secrets say for `Authorization`.
    async fn git_authorization(&self) -> Result<Option<String>> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        if let Some(header) = self.client.secret("GIT_AUTH_HEADER").await.map_err(Error::Invalid)? {
            return Ok(Some(text(header)));
        }
        let token = self.client.secret("GIT_AUTH_TOKEN").await.map_err(Error::Invalid)?;
        Ok(token.map(|token| format!("basic {}", STANDARD.encode(format!("x-access-token:{}", text(token))))))
    }
}

/// The commit that is meant, and the name of its ref on the other side.
async fn resolve(jail: &Jail, git: &Git) -> Result<(String, String)> {
    let reference = git.reference.as_deref().unwrap_or("HEAD");
    if address::is_commit(reference) {
        return Ok((reference.to_owned(), reference.to_owned()));
    }
    let failed = |reason: String| Error::Remote { act: "read", what: git.url.clone(), reason };
    let peeled = format!("{reference}^{{}}");
    let listed = jail.git(&["ls-remote", "--", &git.url, reference, &peeled]).await?.map_err(failed)?;
    choose(&listed, reference)
        .ok_or_else(|| Error::Missing(format!("repository {} does not contain ref {reference}", git.url)))
}

/// The line of `git ls-remote` that a name means: the name itself, a tag, a branch; a tag's commit before the tag.
fn choose(listed: &str, reference: &str) -> Option<(String, String)> {
    let lines: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once('\t')).collect();
    for name in [reference.to_owned(), format!("refs/tags/{reference}"), format!("refs/heads/{reference}")] {
        let find =
            |wanted: &str| lines.iter().find(|(_, name)| *name == wanted).map(|(commit, _)| (*commit).to_owned());
        let found = find(&format!("{name}^{{}}")).or_else(|| find(&name));
        if let Some(commit) = found.filter(|commit| address::is_commit(commit)) {
            return Some((commit, name));
        }
    }
    None
}

async fn check_out(jail: &Jail, git: &Git, commit: &str, name: &str) -> Result<()> {
    let failed = |reason: String| Error::Remote { act: "fetch", what: git.url.clone(), reason };
    jail.git(&["init", "-q", "."]).await?.map_err(failed)?;
    jail.git(&["remote", "add", "origin", &git.url]).await?.map_err(failed)?;
    let shallow = jail.git(&["fetch", "-q", "--no-tags", "--depth=1", "origin", name]).await?;
    let is_here = |outcome: std::result::Result<String, String>| outcome.is_ok();
    if shallow.is_err() || !is_here(jail.git(&["cat-file", "-e", &format!("{commit}^{{commit}}")]).await?) {
        // Servers that give no single commits, and refs that moved meanwhile.
        let all = ["fetch", "-q", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"];
        jail.git(&all).await?.map_err(failed)?;
    }
    jail.git(&["checkout", "-q", "--detach", commit]).await?.map_err(failed)?;
    if git.submodules && std::fs::symlink_metadata(jail.work.join(".gitmodules")).is_ok() {
        let update = ["submodule", "update", "-q", "--init", "--recursive", "--depth=1"];
        jail.git(&update).await?.map_err(failed)?;
    }
    if !git.keep_git_dir {
        let folder = jail.work.join(".git");
        std::fs::remove_dir_all(&folder).map_err(Error::file("remove", &folder))?;
    }
    Ok(())
}

/// A folder of a checkout, on whose way no link may lie (CVE-2026-33748).
fn below(checkout: &Path, folder: &str) -> Result<std::path::PathBuf> {
    let root = tree::Tree::open(checkout, None)?;
    let folder = tree::clean(folder);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    tree::open_plain(root.root(), &folder, flags).map_err(|errno| match errno {
        rustix::io::Errno::NOENT => Error::Missing(format!("the repository has no folder {folder}")),
        rustix::io::Errno::LOOP | rustix::io::Errno::XDEV => {
            Error::Invalid(format!("the folder {folder} of the repository is reached by a link: that is not followed"))
        }
        errno => Error::call("open", &folder)(errno),
    })?;
    Ok(checkout.join(folder.trim_start_matches('/')))
}

/// Everything belongs to root, as in every context.
fn own_all(directory: BorrowedFd<'_>) -> Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(0)), Some(Gid::from_raw(0)));
    for name in tree::names(directory).map_err(Error::call("read", "a checkout"))? {
        let shown = String::from_utf8_lossy(&name).into_owned();
        rustix::fs::chownat(directory, &name[..], uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(Error::call("chown", &shown))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(below) = rustix::fs::openat(directory, &name[..], flags, rustix::fs::Mode::empty()) {
            own_all(below.as_fd())?;
        }
    }
    rustix::fs::fchown(directory, uid, gid).map_err(Error::call("chown", "a checkout"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_tags_before_branches_and_commits_before_tags() {
        let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
        let listed = format!("{a}\trefs/heads/v1\n{b}\trefs/tags/v1\n{c}\trefs/tags/v1^{{}}\n");
        assert_eq!(choose(&listed, "v1"), Some((c, "refs/tags/v1".to_owned())));
        assert_eq!(choose(&listed, "refs/heads/v1"), Some((a, "refs/heads/v1".to_owned())));
        assert_eq!(choose(&listed, "v"), None);
        assert_eq!(choose("x\tHEAD\n", "HEAD"), None);
    }

    #[test]
    fn cve_2026_33748_a_folder_of_a_repository_is_reached_by_no_link() {
        let outside = tempfile::tempdir().expect("a folder");
        let inside = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(outside.path(), inside.path().join("docs")).expect("link");
        std::os::unix::fs::symlink("/", inside.path().join("root")).expect("link");
        std::fs::create_dir_all(inside.path().join("a/b")).expect("create");
        for bad in ["docs", "root/etc", "../x", "nothing"] {
            assert!(below(inside.path(), bad).is_err(), "{bad}");
        }
        assert_eq!(below(inside.path(), "/a/b").expect("there"), inside.path().join("a/b"));
    }
}
