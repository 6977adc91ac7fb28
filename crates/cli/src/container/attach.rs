//! `berth attach`.

use super::join::{self, Joined};
use super::run::{check_tty, detach_keys};
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::terminal::session::Session;
use berth_client::container::Attach;

static FLAGS: &[Flag] = &[
    Flag::text("detach-keys", "Override the key sequence for detaching a container"),
    Flag::switch("no-stdin", "Do not attach STDIN"),
    Flag::switch("sig-proxy", "Proxy all received signals to the process").default("true"),
];

/// `berth attach`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container",
    Arity::Exactly(1),
    |call| Box::pin(attach(call)),
)
.with(&[FLAGS])
.at(&["container attach", "attach"]);

async fn attach(call: Call) -> Outcome {
    let (client, name) = (call.client()?, &call.args[0]);
    let brief = client.brief(name).await?;
    for (holds, text) in [
        (!brief.state.running, "You cannot attach to a stopped container, start it first"),
        (brief.state.paused, "You cannot attach to a paused container, unpause it first"),
        (brief.state.restarting, "You cannot attach to a restarting container, wait until it is running"),
    ] {
        if holds {
            return Err(Failure::new(text));
        }
    }
    let keys = detach_keys(&call)?;
    let stdin = !call.flags.on("no-stdin") && brief.config.open_stdin;
    check_tty(stdin, brief.config.tty)?;
    let wanted =
        Attach { stream: true, stdin, stdout: true, stderr: true, logs: false, detach_keys: keys.text.clone() };
    let signals = join::proxied(brief.config.tty, call.flags.on("sig-proxy"));
    let (hijacked, waiting) = tokio::join!(client.attach(&brief.id, &wanted), client.wait(&brief.id, ""));
    let session = Session { stdin, stdout: true, stderr: true, tty: brief.config.tty, detach: keys.bytes };
    let joined = Joined { client, name: &brief.id, session: &session, signals };
    joined.run(hijacked?, waiting?).await?.ok_or_else(|| Failure::new("read escape sequence"))
}
