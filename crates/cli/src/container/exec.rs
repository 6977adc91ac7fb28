//! `berth exec`.

use super::join::{exit_code, leave_on_signal};
use super::run::{check_tty, detach_keys};
use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::option::env;
use crate::terminal;
use crate::terminal::raw::Raw;
use crate::terminal::session::{Ended, Session, Sized, follow_size};
use berth_client::Client;
use serde_json::{Value, json};

static FLAGS: &[Flag] = &[
    Flag::switch("detach", "Detached mode: run command in the background").short('d'),
    Flag::text("detach-keys", "Override the key sequence for detaching a container"),
    Flag::list("env", "Set environment variables").short('e').check(env::check),
    Flag::list("env-file", "Read in a file of environment variables"),
    Flag::switch("interactive", "Keep STDIN open even if not attached").short('i'),
    Flag::switch("privileged", "Give extended privileges to the command"),
    Flag::switch("tty", "Allocate a pseudo-TTY").short('t'),
    Flag::text("user", "Username or UID (format: \"<name|uid>[:<group|gid>]\")").short('u'),
    Flag::text("workdir", "Working directory inside the container").short('w'),
];

/// `berth exec`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    Arity::AtLeast(2),
    |call| Box::pin(exec(call)),
)
.with(&[FLAGS])
.at(&["container exec", "exec"])
.flags_first();

async fn exec(call: Call) -> Outcome {
    let client = call.client()?;
    let (detached, tty) = (call.flags.on("detach"), call.flags.on("tty"));
    let keys = detach_keys(&call)?;
    let stdin = call.flags.on("interactive") && !detached;
    if !detached {
        check_tty(stdin, tty)?;
    }
    let id = client.exec_create(&call.args[0], &body(&call, stdin, &keys.text)?).await?;
    if detached {
        client.exec_start(&id, tty).await?;
        return Ok(0);
    }
    let session = Session { stdin, stdout: true, stderr: true, tty, detach: keys.bytes };
    join(client, &id, &session).await
}

fn body(call: &Call, stdin: bool, detach_keys: &str) -> Result<Value, Failure> {
    let flags = &call.flags;
    let attached = !flags.on("detach");
    let variables = env::collect(flags.list("env-file"), flags.list("env")).map_err(Failure::new)?;
    let mut body = json!({
        "User": flags.text("user"),
        "Privileged": flags.on("privileged"),
        "Tty": flags.on("tty"),
        "AttachStdin": stdin,
        "AttachStdout": attached,
        "AttachStderr": attached,
        "Detach": !attached,
        "DetachKeys": detach_keys,
        "WorkingDir": flags.text("workdir"),
        "Cmd": call.args[1..],
    });
    if !variables.is_empty() {
        body["Env"] = json!(variables);
    }
    if let Some((rows, columns)) = terminal::size().filter(|_| flags.on("tty")) {
        body["ConsoleSize"] = json!([rows, columns]);
    }
    Ok(body)
}

async fn join(client: &Client, id: &str, session: &Session) -> Outcome {
    let size = if session.tty { terminal::size() } else { None };
    let hijacked = client.exec_attach(id, session.tty, size).await?;
    let raw = if session.tty && session.stdin { Raw::enter()? } else { None };
    let aside = async {
        match session.tty {
            true => futures_util::future::join(follow_size(client, Sized::Exec(id)), leave_on_signal()).await.0,
            false => std::future::pending().await,
        }
    };
    let main = async {
        let ended = session.run(hijacked).await;
        drop(raw);
        match ended? {
            Ended::Detached => Err(Failure::new("read escape sequence")),
            Ended::Output => Ok(exit_code(client.exec_state(id).await?.code.unwrap_or(0))),
        }
    };
    tokio::select! {
        outcome = main => outcome,
        () = aside => Ok(0),
    }
}
