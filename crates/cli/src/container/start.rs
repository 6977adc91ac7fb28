//! `berth start`.

use super::join::{self, Joined};
use super::run::{check_tty, detach_keys};
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::terminal::session::Session;
use berth_client::container::Attach;

static FLAGS: &[Flag] = &[
    Flag::switch("attach", "Attach STDOUT/STDERR and forward signals").short('a'),
    Flag::text("detach-keys", "Override the key sequence for detaching a container"),
    Flag::switch("interactive", "Attach container's STDIN").short('i'),
];

/// `berth start`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    Arity::AtLeast(1),
    |call| Box::pin(start(call)),
)
.with(&[FLAGS])
.at(&["container start", "start"]);

async fn start(call: Call) -> Outcome {
    if call.flags.on("attach") || call.flags.on("interactive") {
        return attached(&call).await;
    }
    let client = call.client()?;
    let results = call.args.iter().map(|name| async move { (name, client.start(name, "").await) });
    let mut failed = Vec::new();
    for (name, result) in futures_util::future::join_all(results).await {
        match result {
            Ok(()) => crate::say!("{name}")?,
            Err(e) => {
                crate::complain!("{e}");
                failed.push(name.as_str());
            }
        }
    }
    match failed.is_empty() {
        true => Ok(0),
        false => Err(Failure::new(format!("Error: failed to start containers: {}", failed.join(", ")))),
    }
}

async fn attached(call: &Call) -> Outcome {
    let [name] = call.args.as_slice() else {
        return Err(Failure::new("you cannot start and attach multiple containers at once"));
    };
    let client = call.client()?;
    let brief = client.brief(name).await?;
    let keys = detach_keys(call)?;
    let stdin = call.flags.on("interactive") && brief.config.open_stdin;
    check_tty(stdin, brief.config.tty)?;
    let attach =
        Attach { stream: true, stdin, stdout: true, stderr: true, logs: false, detach_keys: keys.text.clone() };
    let condition = if brief.host.auto_remove { "removed" } else { "next-exit" };
    let signals = join::proxied(brief.config.tty, true);
    let (hijacked, waiting) = tokio::join!(client.attach(&brief.id, &attach), client.wait(&brief.id, condition));
    let (hijacked, waiting) = (hijacked?, waiting?);
    client.start(&brief.id, &keys.text).await?;
    let session = Session { stdin, stdout: true, stderr: true, tty: brief.config.tty, detach: keys.bytes };
    let joined = Joined { client, name: &brief.id, session: &session, signals };
    Ok(joined.run(hijacked, waiting).await?.unwrap_or(0))
}
