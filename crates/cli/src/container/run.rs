//! `berth run`: create, attach, wait, start, and then bytes until the end.
//!
//! Attaching and waiting go out side by side, and both are registered before the start: no byte and no exit code can be
//! missed, and a short run costs four round trips.

use super::body::{self, Body};
use super::create;
use super::join::{self, Joined};
use super::options::{ISOLATION, NETWORK, PROCESS, RESOURCES};
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::terminal::keys;
use crate::terminal::session::Session;
use berth_client::container::Attach;
use std::io::IsTerminal;

static FLAGS: &[Flag] = &[
    Flag::switch("detach", "Run container in background and print container ID").short('d'),
    Flag::text("detach-keys", "Override the key sequence for detaching a container"),
    Flag::text("pull", "Pull image before running (\"always\", \"missing\", \"never\")").default("missing"),
    Flag::switch("sig-proxy", "Proxy received signals to the process").default("true"),
];

/// `berth run`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create and run a new container from an image",
    Arity::AtLeast(1),
    |call| Box::pin(run(call)),
)
.with(&[PROCESS, RESOURCES, ISOLATION, NETWORK, FLAGS])
.at(&["container run", "run"])
.flags_first();

async fn run(call: Call) -> Outcome {
    let body = body::build(&call.flags, &call.args[0], &call.args[1..]).map_err(|e| call.refuse(e))?;
    let detached = call.flags.on("detach");
    if detached && call.flags.given("attach") {
        return Err(Failure::new("conflicting options: cannot specify both --attach and --detach"));
    }
    if !detached {
        check_tty(body.streams.stdin, call.flags.on("tty"))?;
    }
    let created = create::make(&call, &body).await?;
    if detached {
        return start_detached(&call, &created.id).await;
    }
    foreground(&call, &body, &created.id).await
}

/// A terminal for the container wants one here, when its input is ours.
///
/// # Errors
/// Docker's text.
pub fn check_tty(attached: bool, tty: bool) -> Result<(), Failure> {
    match attached && tty && !std::io::stdin().is_terminal() {
        true => Err(Failure::new("the input device is not a TTY")),
        false => Ok(()),
    }
}

async fn start_detached(call: &Call, id: &str) -> Outcome {
    let client = call.client()?;
    client.start(id, "").await.map_err(|e| failed_start(call, &e))?;
    crate::say!("{id}")?;
    Ok(0)
}

async fn foreground(call: &Call, body: &Body, id: &str) -> Outcome {
    let client = call.client()?;
    let streams = body.streams;
    let detach_keys = detach_keys(call)?;
    let attach = Attach {
        stream: true,
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        logs: false,
        detach_keys: detach_keys.text,
    };
    let condition = if call.flags.on("rm") { "removed" } else { "next-exit" };
    let joined = streams.stdin || streams.stdout || streams.stderr;
    let attaching = async {
        match joined {
            true => client.attach(id, &attach).await.map(Some),
            false => Ok(None),
        }
    };
    // Caught from here on: none may end this client while the container is being started.
    let signals = join::proxied(call.flags.on("tty"), call.flags.on("sig-proxy"));
    let (hijacked, waiting) = tokio::join!(attaching, client.wait(id, condition));
    let (hijacked, waiting) = (hijacked.map_err(|e| call.refuse(e))?, waiting.map_err(|e| call.refuse(e))?);
    client.start(id, attach.detach_keys.as_str()).await.map_err(|e| failed_start(call, &e))?;
    let Some(hijacked) = hijacked else {
        crate::say!("{id}")?;
        return Ok(join::exit_code(waiting.finish().await?));
    };
    let session = Session {
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        tty: call.flags.on("tty"),
        detach: detach_keys.bytes,
    };
    let joined = Joined { client, name: id, session: &session, signals };
    Ok(joined.run(hijacked, waiting).await?.unwrap_or(0))
}

/// Detach keys as text for the daemon and as bytes for this side.
pub struct DetachKeys {
    /// As given; empty for the default.
    pub text: String,
    /// As typed.
    pub bytes: Vec<u8>,
}

/// The keys of `--detach-keys` or the configuration; they count only where there is a terminal.
///
/// # Errors
/// An unknown key.
pub fn detach_keys(call: &Call) -> Result<DetachKeys, Failure> {
    let mut text = call.flags.text("detach-keys").to_owned();
    if text.is_empty() {
        text.clone_from(&call.config.file().detach_keys);
    }
    let shown = if text.is_empty() { keys::DEFAULT } else { &text };
    let bytes = keys::parse(shown).map_err(|e| Failure::new(format!("invalid detach keys ({shown}): {e}")))?;
    Ok(DetachKeys { text, bytes })
}

/// 127 when there is no such program, 126 when it cannot be run, 125 otherwise.
fn failed_start(call: &Call, error: &berth_client::Error) -> Failure {
    let text = error.message();
    let any = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let code = match () {
        () if any(&["executable file not found", "no such file or directory"]) => 127,
        () if any(&["permission denied", "not a directory", "is a directory", "exec format error"]) => 126,
        () => 125,
    };
    call.refuse_with(code, error)
}
