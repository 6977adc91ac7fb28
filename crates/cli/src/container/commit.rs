//! `berth commit`.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::image::name;
use berth_client::image::Commit;

static FLAGS: &[Flag] = &[
    Flag::text("author", "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")").short('a'),
    Flag::list("change", "Apply Dockerfile instruction to the created image").short('c'),
    Flag::text("message", "Commit message").short('m'),
    Flag::switch("pause", "Pause container during commit").short('p').default("true"),
];

/// `berth commit`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Create a new image from a container's changes",
    Arity::Between(1, 2),
    |call| Box::pin(commit(call)),
)
.with(&[FLAGS])
.at(&["container commit", "commit"]);

async fn commit(call: Call) -> Outcome {
    let flags = &call.flags;
    let (repo, tag) = match call.args.get(1).filter(|name| !name.is_empty()) {
        Some(reference) => name::split(reference).map_err(Failure::new)?,
        None => (String::new(), String::new()),
    };
    let commit = Commit {
        container: call.args[0].clone(),
        repo,
        tag,
        comment: flags.text("message").to_owned(),
        author: flags.text("author").to_owned(),
        pause: flags.on("pause"),
        changes: flags.strings("change"),
    };
    crate::say!("{}", call.client()?.commit(&commit).await?)?;
    Ok(0)
}
