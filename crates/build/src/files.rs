//! `COPY` and `ADD`: what they read makes their key, and is copied when the key is not known.

use std::{
    io::{BufReader, Read},
    os::fd::AsFd,
    sync::Arc,
};

use berth_dockerfile::{Add, Copy, Ignore, Source as Word, Spanned};

use crate::{
    Error, Result,
    cache::Key,
    checksum,
    context::blocking,
    copy::{CopyOptions, copy, is_folder, write},
    fetch::{Asker, Fetched, Remote},
    layer::Scratch,
    place::{self, ModeChange},
    plan::Origin,
    select::{Filter, Match, exact, is_pattern, pivot, select},
    stage::{Outcome, Solve, Step},
    state::State,
    tree::{self, Tree},
};

/// What both instructions say.
struct Files<'f> {
    keyword: &'static str,
    sources: &'f [Word],
    destination: &'f Spanned<String>,
    chown: Option<&'f Spanned<String>>,
    chmod: Option<&'f Spanned<String>>,
    exclude: &'f [Spanned<String>],
    link: bool,
    parents: bool,
    /// Owners of the source stay where none is given.
    keeps_owner: bool,
    /// Archives of the context become their contents: always, never, or where they are local.
    unpack: Option<bool>,
    /// `.git` of a repository stays; none where nothing was said.
    keep_git_dir: Option<bool>,
    /// What a download or a commit must be.
    checksum: Option<&'f Spanned<String>>,
}

/// Everything that is to be copied, in order.
struct Job {
    parts: Vec<Part>,
    /// Absolute.
    destination: String,
    /// As written.
    written: String,
    chown: Option<String>,
    options: CopyOptions,
}

enum Part {
    Match {
        found: Match,
        /// An archive becomes its contents.
        unpack: bool,
    },
    /// What an address gave: its match, and what keeps it here.
    Remote { word: String, found: Match, fetched: Fetched, unpack: bool },
    /// A file of the Dockerfile's own: name and content.
    Inline(String, Vec<u8>),
}

impl Part {
    fn pivot(&self) -> usize {
        match self {
            Self::Match { found, .. } | Self::Remote { found, .. } => found.pivot,
            Self::Inline(..) => 0,
        }
    }
}

impl Solve {
    /// `COPY`.
    pub async fn copy(self: &Arc<Self>, state: &State, step: &Step, copy: &Copy, uncached: bool) -> Result<Outcome> {
        let origin = copy.from.as_ref().map_or(Origin::Main, |from| self.origin(from, step.stage));
        let files = Files {
            keyword: "COPY",
            sources: &copy.sources,
            destination: &copy.destination,
            chown: copy.chown.as_ref(),
            chmod: copy.chmod.as_ref(),
            exclude: &copy.exclude,
            link: copy.link,
            parents: copy.parents,
            keeps_owner: !matches!(origin, Origin::Main),
            unpack: Some(false),
            keep_git_dir: None,
            checksum: None,
        };
        self.files(state, step, &files, &origin, uncached).await
    }

    /// `ADD`.
    pub async fn add(self: &Arc<Self>, state: &State, step: &Step, add: &Add, uncached: bool) -> Result<Outcome> {
        let files = Files {
            keyword: "ADD",
            sources: &add.sources,
            destination: &add.destination,
            chown: add.chown.as_ref(),
            chmod: add.chmod.as_ref(),
            exclude: &add.exclude,
            link: add.link,
            parents: false,
            keeps_owner: false,
            unpack: add.unpack,
            keep_git_dir: add.keep_git_dir,
            checksum: add.checksum.as_ref(),
        };
        self.files(state, step, &files, &Origin::Main, uncached).await
    }

    async fn files(
        self: &Arc<Self>,
        state: &State,
        step: &Step,
        files: &Files<'_>,
        origin: &Origin,
        uncached: bool,
    ) -> Result<Outcome> {
        let written = self.expand(state, files.destination)?;
        let destination = tree::join(state.workdir(), &written);
        let chown = files.chown.map(|word| self.expand(state, word)).transpose()?;
        let chmod = files.chmod.map(|word| self.expand(state, word)).transpose()?;
        let mode =
            chmod.as_deref().map(ModeChange::parse).transpose().map_err(|text| step.fails(&self.request, text))?;
        let parts = self.parts(state, step, files, origin).await?;
        let folder = written.ends_with('/') || written == "." || written.ends_with("/.");
        if parts.len() > 1 && !folder {
            let text = format!(
                "When using {} with more than one source file, the destination must be a directory and end with a /",
                files.keyword
            );
            return Err(step.fails(&self.request, text));
        }
        let mut key = Key::default();
        key.text("command", &format!("{} {destination} {folder} {chmod:?} {}", files.keyword, files.parents));
        let pivots: Vec<usize> = parts.iter().map(Part::pivot).collect();
        key.text("unpack", &format!("{:?} {pivots:?}", files.unpack));
        key.text("owner", &format!("{chown:?} {}", files.keeps_owner));
        key.text("epoch", &format!("{:?}", self.epoch));
        if !files.link {
            key.text("below", state.top.as_ref().map_or("", |top| top.as_str()));
        }
        let (solve, owners) = (Arc::clone(self), files.keeps_owner && chown.is_none());
        let (key, parts) = blocking(move || {
            for part in &parts {
                solve.add_sums(&mut key, part, owners)?;
            }
            Ok((key, parts))
        })
        .await?;
        let owner = (!files.keeps_owner).then_some((0, 0));
        let options = CopyOptions { owner, mode, epoch: self.epoch, parents: files.parents };
        let job = Job { parts, destination, written, chown, options };
        let (snapshots, top, link) = (Arc::clone(&self.shared.snapshots), state.top.clone(), files.link);
        let make = || blocking(move || job.run(&snapshots, top.as_ref(), link));
        self.layer_step(state, step, key, files.link, uncached, make).await
    }

    fn add_sums(&self, key: &mut Key, part: &Part, owners: bool) -> Result<()> {
        match part {
            Part::Inline(name, bytes) => key.sum(format!("heredoc {name}"), &checksum::of_bytes(bytes)),
            Part::Remote { word, fetched, unpack, .. } => {
                key.text(format!("source {word}"), &format!("{} {:?} {unpack}", fetched.identity, fetched.file));
            }
            Part::Match { found, .. } => {
                let sums = self.shared.checksums.of(&found.items, owners)?;
                for (item, sum) in found.items.iter().zip(&sums) {
                    let path = format!("{}/{}", found.path, item.target);
                    // The top of a folder is the destination's own: its mode does not travel into one that is there.
                    key.sum(format!("file {}", path.trim_matches('/')), sum);
                }
            }
        }
        Ok(())
    }

    async fn parts(
        self: &Arc<Self>,
        state: &State,
        step: &Step,
        files: &Files<'_>,
        origin: &Origin,
    ) -> Result<Vec<Part>> {
        let mut words = Vec::new();
        let mut parts = Vec::new();
        for source in files.sources {
            match source {
                Word::Heredoc(heredoc) => {
                    let text = state.scope.content(heredoc);
                    let text = text.map_err(|fault| crate::plan::faulty(&self.request, &fault))?;
                    parts.push(Part::Inline(heredoc.name.clone(), text.into_bytes()));
                }
                Word::Path(word) => {
                    let word = self.expand(state, word)?;
                    match self.remote(state, step, files, &word).await? {
                        Some(part) => parts.push(part),
                        None => words.push(word),
                    }
                }
            }
        }
        if words.is_empty() {
            return Ok(parts);
        }
        let mut exclude = Vec::new();
        for word in files.exclude {
            exclude.push(self.expand(state, word)?);
        }
        let tree = self.tree(origin).await?;
        let (solve, deep) = (Arc::clone(self), files.parents);
        let (found, missing) = blocking(move || {
            let exclude = Ignore::from_patterns(exclude.iter().map(String::as_str))
                .map_err(|error| Error::Invalid(error.to_string()))?;
            let filter = Filter { ignore: solve.ignore_of(&tree), exclude: Some(&exclude), deep };
            let mut all = Vec::new();
            for word in &words {
                let found = select(tree.root(), word, filter)?;
                if found.is_empty() && !is_pattern(word) {
                    return Ok((all, Some(word.clone())));
                }
                let pivot = pivot(word);
                all.extend(found.into_iter().map(|found| Match { pivot, ..found }));
            }
            let none = if all.is_empty() { words.first().cloned() } else { None };
            Ok((all, none))
        })
        .await?;
        if let Some(word) = missing.filter(|_| parts.is_empty() || !found.is_empty() || files.sources.len() == 1) {
            let place =
                if *origin == Origin::Main { "in build context or excluded by .dockerignore" } else { "in its source" };
            let text = format!("{} failed: file not found {place}: stat {}: file does not exist", files.keyword, word);
            return Err(step.fails(&self.request, text));
        }
        let unpack = files.unpack.unwrap_or(true);
        parts.extend(found.into_iter().map(|found| Part::Match { found, unpack }));
        Ok(parts)
    }

    /// What `ADD` fetches, where the word is an address.
    async fn remote(
        self: &Arc<Self>,
        state: &State,
        step: &Step,
        files: &Files<'_>,
        word: &str,
    ) -> Result<Option<Part>> {
        if files.keyword != "ADD" || word.starts_with("github.com/") {
            return Ok(None);
        }
        let Some(remote) = Remote::parse(word).map_err(|error| step.fails(&self.request, error.to_string()))? else {
            return Ok(None);
        };
        let checksum = files.checksum.map(|word| self.expand(state, word)).transpose()?;
        let asker = Asker { shared: &self.shared, policy: &self.request.policy, client: &self.request.client };
        self.teller.status(&step.id, word, 0, 0, false).await;
        let fetched = match remote {
            Remote::Web(address) => asker.web(&address, checksum.as_deref()).await,
            Remote::Git(git) => {
                let mut git = git.with_checksum(checksum.as_deref())?;
                git.keep_git_dir = files.keep_git_dir.unwrap_or(git.keep_git_dir);
                asker.git(&git).await
            }
        };
        let fetched = fetched.map_err(|error| match error {
            Error::Invalid(text) => step.fails(&self.request, text),
            error => error,
        })?;
        self.teller.status(&step.id, word, 1, 1, true).await;
        match &fetched.commit {
            Some(commit) => self.note_material(word.to_owned(), "sha1", commit),
            None => self.note_material(word.to_owned(), "sha256", &fetched.identity),
        }
        let mut exclude = Vec::new();
        for word in files.exclude {
            exclude.push(self.expand(state, word)?);
        }
        let unpack = files.unpack.unwrap_or(false) && fetched.file.is_some();
        let place = fetched.clone();
        let found = blocking(move || {
            let exclude = Ignore::from_patterns(exclude.iter().map(String::as_str))
                .map_err(|error| Error::Invalid(error.to_string()))?;
            let tree = Tree::open(&place.path, None)?;
            match &place.file {
                Some(name) => exact(tree.root(), name),
                None => Ok(select(tree.root(), "/", Filter { exclude: Some(&exclude), ..Filter::default() })?.pop()),
            }
        })
        .await?;
        let found = found.ok_or_else(|| step.fails(&self.request, format!("{word}: nothing is left of it")))?;
        Ok(Some(Part::Remote { word: word.to_owned(), found, fetched, unpack }))
    }
}

impl Job {
    fn run(
        mut self,
        snapshots: &Arc<dyn berth_snapshot::Snapshotter>,
        top: Option<&berth_spec::Digest>,
        link: bool,
    ) -> Result<Scratch> {
        let scratch = Scratch::create(snapshots, if link { None } else { top })?;
        let root = Tree::new(scratch.mount(false)?, None, None);
        if let Some(chown) = &self.chown {
            // Names are those of the stage, even where the layer knows nothing of it.
            let below = if link { Some(Scratch::create(snapshots, top)?) } else { None };
            let names = below.as_ref().map(|below| below.mount(true)).transpose()?;
            let names = names.as_ref().map_or(root.root(), |names| names.as_fd());
            self.options.owner = Some(place::owner(names, chown)?);
        }
        for part in &self.parts {
            match part {
                Part::Inline(name, bytes) => {
                    let into = is_folder(root.root(), &self.destination, &self.written)?;
                    let path = if into { tree::join(&self.destination, name) } else { self.destination.clone() };
                    write(root.root(), &path, bytes, 0o644, &self.options)?;
                }
                Part::Match { found, unpack } | Part::Remote { found, unpack, .. } => {
                    self.put(&root, found, *unpack)?
                }
            }
        }
        drop(root);
        Ok(scratch)
    }

    fn put(&self, root: &Tree, found: &Match, unpack: bool) -> Result<()> {
        if unpack && !found.is_dir && self.unpack_archive(root, found)? {
            return Ok(());
        }
        let into = is_folder(root.root(), &self.destination, &self.written)?;
        copy(root.root(), found, &self.destination, into, &self.options)
    }

    /// Says whether the file was an archive.
    fn unpack_archive(&self, root: &Tree, found: &Match) -> Result<bool> {
        let open = || checksum::open(&found.items[0]);
        if !is_archive(open()?) {
            return Ok(false);
        }
        let owner = self.options.owner.unwrap_or((0, 0));
        drop(place::ensure_directory(root.root(), &self.destination, owner)?);
        let reader = berth_archive::compression::decoder(open()?)?;
        let owner = self.chown.as_ref().and(self.options.owner);
        let options = berth_archive::unpack::ExtractOptions { owner, ..Default::default() };
        berth_archive::unpack::extract(reader, root.root(), std::path::Path::new(&self.destination), &options)?;
        Ok(true)
    }
}

/// Whether a file is a tar archive, compressed or not: its first header says so.
pub(crate) fn is_archive(file: std::fs::File) -> bool {
    let Ok(mut reader) = berth_archive::compression::decoder(BufReader::new(file)) else { return false };
    let mut head = [0u8; berth_archive::tar::BLOCK_BYTES];
    if reader.read_exact(&mut head).is_err() {
        return false;
    }
    let written = String::from_utf8_lossy(&head[148..156]);
    let Ok(written) = u64::from_str_radix(written.trim_matches(['\0', ' ']), 8) else { return false };
    let sum: u64 =
        head.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) }).sum();
    sum == written && head[0] != 0
}
