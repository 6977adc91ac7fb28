//! Templates of machines: made in the background by a supervisor of their own, cleared away when the daemon stops or has
//! been killed meanwhile.
//!
//! ```text
//! <runtime root>/templates/<draft>/   the bundle of a machine that becomes a template; its control group has the name
//! <data root>/vm/templates/<draft>    what is written of it so far
//! ```

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
};

use berth_runtime::cgroup::{Cgroup, CgroupPath};
use berth_vm::{image::IMAGE_BYTES, plan::Plan, template::Templates};
use tokio::task::JoinHandle;

use super::refused;
use crate::{Containers, Error, Result, rootfs::blocking};

/// Templates whose making was tried since this program started.
static TRIED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// Those that are being made.
static MAKING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

impl Containers {
    /// Makes the template for machines like `plan` in the background, once.
    pub(crate) fn make_template(&self, plan: Plan) {
        let this = self.clone();
        let making = tokio::spawn(async move {
            let templates = this.templates();
            let path = templates.path(&plan);
            let first = TRIED.lock().unwrap_or_else(PoisonError::into_inner).insert(path);
            if !first {
                return;
            }
            let Some(ids) = this.shared.ids.take() else { return };
            let outcome = this.make_template_now(&templates, &plan, (ids.host_base, ids.len)).await;
            this.shared.ids.release(ids);
            if let Err(error) = outcome {
                tracing::warn!(%error, "cannot make a template of virtual machines");
            }
        });
        let mut all = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|making| !making.is_finished());
        all.push(making);
    }

    /// Ends the making of templates, and takes away what was made so far: also what a daemon that was killed has left.
    pub(crate) async fn abandon_templates(&self) {
        let making = std::mem::take(&mut *MAKING.lock().unwrap_or_else(PoisonError::into_inner));
        for one in making {
            // Its supervisor dies with it.
            one.abort();
            let _ = one.await;
        }
        let (place, templates) = (self.template_bundles(), self.templates());
        let parent = self.shared.config.cgroup_parent.clone();
        let outcome = blocking(move || {
            for bundle in std::fs::read_dir(place).into_iter().flatten().filter_map(|entry| entry.ok()) {
                clear(&parent, &bundle.path());
            }
            templates.discard_drafts().map_err(refused)
        });
        if let Err(error) = outcome.await {
            tracing::warn!(%error, "cannot take away the drafts of templates");
        }
    }

    fn templates(&self) -> Templates {
        Templates::new(&self.shared.config.data_root.join("vm"))
    }

    fn template_bundles(&self) -> PathBuf {
        self.shared.config.runtime_root.join("templates")
    }

    async fn make_template_now(&self, templates: &Templates, plan: &Plan, ids: (u32, u32)) -> Result<()> {
        let config = &self.shared.config;
        let draft = templates.draft().map_err(refused)?;
        let name = draft.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bundle = self.template_bundles().join(&name);
        let io = |error| Error::file("prepare a template in", &bundle, error);
        std::fs::create_dir_all(&bundle).map_err(io)?;
        // In the place of disks that are somebody's: nothing reads them before the restore.
        let blank = |name: &str, bytes: u64| {
            let path = bundle.join(name);
            std::fs::File::create(&path).and_then(|file| file.set_len(bytes)).map(|()| path)
        };
        let plan = Plan {
            image: blank("root.img", IMAGE_BYTES).map_err(io)?,
            disk: plan.disk.is_some().then(|| blank("upper.img", plan.disk_bytes)).transpose().map_err(io)?,
            ids,
            cgroup: cgroup(&config.cgroup_parent, &name),
            template: Some(draft.clone()),
            ..plan.clone()
        };
        plan.write(&bundle).map_err(refused)?;
        let mut argument = std::ffi::OsString::from("--template=");
        argument.push(&bundle);
        let mut command = tokio::process::Command::new(&config.exe);
        command.arg0("berth").arg("supervise").arg(argument).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        let output = command.stderr(Stdio::piped()).kill_on_drop(true).output().await.map_err(io);
        let _ = std::fs::remove_dir_all(&bundle);
        let output = output?;
        if !output.status.success() {
            return Err(Error::Conflict(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        templates.keep(&draft, &plan).map_err(refused)
    }
}

fn cgroup(parent: &str, name: &str) -> String {
    format!("/{}/{name}", parent.trim_matches('/'))
}

/// Takes away a machine whose supervisor is gone, with its bundle.
fn clear(parent: &str, bundle: &Path) {
    let name = bundle.file_name().unwrap_or_default().to_string_lossy();
    let found = CgroupPath::parse(&cgroup(parent, &name)).and_then(|path| Cgroup::open(&path));
    let gone = found.and_then(|cgroup| cgroup.kill_all().and_then(|()| cgroup.remove()));
    if let Err(error) = gone {
        // There is none where the machine had not been made yet.
        tracing::debug!(%error, "no control group of a template");
    }
    if let Err(error) = std::fs::remove_dir_all(bundle) {
        tracing::warn!(%error, "cannot take away the bundle of a template");
    }
}
