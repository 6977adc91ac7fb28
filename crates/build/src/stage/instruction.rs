//! One instruction: a step that makes a layer, or words that change the configuration alone.

use std::sync::Arc;

use berth_dockerfile::{Command, Instruction};
use berth_spec::Digest;

use super::{Outcome, Solve, Step};
use crate::{
    Result,
    cache::Key,
    context::blocking,
    exchange::Walked,
    layer::Scratch,
    plan, run,
    state::{State, shown_pairs},
    tree::Tree,
};

impl Solve {
    /// An instruction; gives what became of a layer where it makes one.
    pub(super) async fn apply(
        self: &Arc<Self>,
        state: &mut State,
        step: &Step,
        instruction: &Instruction,
    ) -> Result<Option<Outcome>> {
        let uncached = instruction.comments.iter().any(|comment| is_opt_out(comment));
        let (outcome, text) = match &instruction.command {
            Command::Run(run) => {
                let command = run::Command::read(self, state, step, run).await?;
                let key = command.key(self, state).await?;
                let text = format!("{} # berth", command.shown);
                let outcome =
                    self.layer_step(state, step, key, false, uncached, || command.run(self, state, step)).await?;
                (outcome, text)
            }
            Command::Copy(copy) => {
                (self.copy(state, step, copy, uncached).await?, format!("{} # berth", instruction.text))
            }
            Command::Add(add) => (self.add(state, step, add, uncached).await?, format!("{} # berth", instruction.text)),
            Command::Workdir(path) => {
                let path = self.expand(state, path)?;
                state.set_workdir(&path);
                (self.workdir(state, step).await?, format!("WORKDIR {path}"))
            }
            _ => {
                self.words(state, step, instruction)?;
                return Ok(None);
            }
        };
        let parent = state.key.replace(outcome.key.clone());
        let (key, layer, created) = (outcome.key.clone(), outcome.layer.clone(), outcome.created);
        state.lineage.push(Walked { key, parent, layer, created });
        state.add_layer(outcome.layer.as_ref(), outcome.stamp.clone(), text);
        Ok(Some(outcome))
    }

    async fn workdir(self: &Arc<Self>, state: &State, step: &Step) -> Result<Outcome> {
        let mut key = Key::default();
        key.text("command", &format!("WORKDIR {}", state.workdir()));
        key.text("below", state.top.as_ref().map_or("", Digest::as_str));
        key.text("epoch", &format!("{:?}", self.epoch));
        let (snapshots, top, path) =
            (Arc::clone(&self.shared.snapshots), state.top.clone(), state.workdir().to_owned());
        let make = || {
            blocking(move || {
                let scratch = Scratch::create(&snapshots, top.as_ref())?;
                let root = Tree::new(scratch.mount(false)?, None, None);
                crate::place::ensure_directory(root.root(), &path, (0, 0))?;
                drop(root);
                Ok(scratch)
            })
        };
        self.layer_step(state, step, key, false, false, make).await
    }

    /// Expands a word, and says where it failed.
    pub fn expand(&self, state: &State, word: &berth_dockerfile::Spanned<String>) -> Result<String> {
        state.scope.expand(word).map_err(|fault| plan::faulty(&self.request, &fault))
    }

    /// Instructions that change the configuration alone.
    fn words(&self, state: &mut State, step: &Step, instruction: &Instruction) -> Result<()> {
        let faulty = |fault: berth_dockerfile::Diagnostic| plan::faulty(&self.request, &fault);
        let mut text = instruction.text.clone();
        match &instruction.command {
            Command::Arg(args) => {
                for arg in args {
                    state.scope.declare(arg).map_err(faulty)?;
                }
            }
            Command::Env(pairs) => {
                let set = state.scope.set_env(pairs).map_err(faulty)?;
                state.set_env();
                text = shown_pairs("ENV", &set);
            }
            Command::Label(pairs) => {
                let set = state.scope.pairs(pairs, "LABEL").map_err(faulty)?;
                text = shown_pairs("LABEL", &set);
                state.set_labels(set);
            }
            Command::Cmd(form) => state.set_cmd(form),
            Command::Entrypoint(form) => state.set_entrypoint(form),
            Command::Expose(words) => {
                for word in words {
                    for port in state.scope.expand_words(word).map_err(faulty)? {
                        state.expose(&port).map_err(|reason| step.fails(&self.request, reason))?;
                    }
                }
            }
            Command::Healthcheck(health) => state.set_health(health),
            Command::Maintainer(author) => state.author = Some(self.expand(state, author)?),
            Command::Onbuild(onbuild) => {
                state.config.config.on_build.get_or_insert_with(Vec::new).push(onbuild.trigger.clone());
            }
            Command::Shell(words) => state.config.config.shell = Some(words.clone()),
            Command::Stopsignal(signal) => state.config.config.stop_signal = Some(self.expand(state, signal)?),
            Command::User(user) => state.config.config.user = self.expand(state, user)?,
            Command::Volume(paths) => {
                let paths = paths.iter().map(|path| self.expand(state, path)).collect::<Result<Vec<_>>>()?;
                state.add_volumes(paths);
            }
            Command::Add(_) | Command::Copy(_) | Command::Run(_) | Command::Workdir(_) => {}
        }
        state.note(text);
        Ok(())
    }
}

/// `# berth: no-cache` right above an instruction: it is made at every build.
fn is_opt_out(comment: &str) -> bool {
    let words = comment.trim_start_matches('#').trim();
    words.strip_prefix("berth:").is_some_and(|rest| rest.split([',', ' ']).any(|word| word.trim() == "no-cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_opts_out() {
        assert!(is_opt_out("# berth: no-cache"));
        assert!(is_opt_out("berth: quiet, no-cache"));
        assert!(!is_opt_out("# no-cache"));
        assert!(!is_opt_out("# berth: no-cache-please"));
    }
}
