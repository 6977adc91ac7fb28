//! `berth login`.

use crate::call::{Call, Failure, Outcome};
use crate::credential::{self, Credential};
use crate::grammar::{Arity, Command, Flag};
use berth_client::Request;
use rustix::termios::{LocalModes, OptionalActions, isatty, tcgetattr, tcsetattr};
use serde::Deserialize;
use serde_json::json;
use std::io::{BufRead, Read, Write};

static FLAGS: &[Flag] = &[
    Flag::text("password", "Password or Personal Access Token (PAT)").short('p'),
    Flag::switch("password-stdin", "Take the Password or Personal Access Token (PAT) from stdin"),
    Flag::text("username", "Username").short('u'),
];

/// `berth login`.
pub static COMMAND: Command =
    Command::verb("[OPTIONS] [SERVER]", "Authenticate to a registry", Arity::AtMost(1), |call| Box::pin(login(call)))
        .with(&[FLAGS])
        .at(&["login"]);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Granted {
    #[serde(default)]
    status: String,
    #[serde(default)]
    identity_token: String,
}

async fn login(call: Call) -> Outcome {
    let key = credential::key(call.args.first().map_or("", String::as_str));
    let (user, password) = (call.flags.text("username").to_owned(), given_password(&call)?);
    if user.is_empty()
        && password.is_empty()
        && let Some(stored) = credential::find(&call.config, &key)?.filter(|stored| stored.identity_token.is_empty())
    {
        crate::say!("Authenticating with existing credentials... [Username: {}]", stored.username)?;
        match ask(&call, &key, &stored).await {
            Ok(granted) => {
                crate::say!("\n{}", granted.status)?;
                return Ok(0);
            }
            Err(failure) => crate::complain!("{}\nLogin did not succeed, error: {}", "", failure.text),
        }
    }
    let credential = complete(&key, user, password)?;
    let granted = ask(&call, &key, &credential).await?;
    let kept = Credential { identity_token: granted.identity_token, ..credential };
    if credential::keep(&call.config, &key, &kept)? {
        let path = call.config.directory().join("config.json");
        crate::complain!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this \
             warning.\n",
            path.display()
        );
    }
    crate::say!("{}", granted.status)?;
    Ok(0)
}

async fn ask(call: &Call, key: &str, credential: &Credential) -> Result<Granted, Failure> {
    let body = json!({"username": credential.username, "password": credential.password, "serveraddress": key});
    Ok(call.client()?.json(Request::post("/auth").json(&body)?).await?)
}

fn given_password(call: &Call) -> Result<String, Failure> {
    let (password, from_stdin) = (call.flags.text("password"), call.flags.on("password-stdin"));
    if !password.is_empty() {
        crate::complain!("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        if from_stdin {
            return Err(Failure::new("conflicting options: cannot specify both --password and --password-stdin"));
        }
    }
    if !from_stdin {
        return Ok(password.to_owned());
    }
    if call.flags.text("username").is_empty() {
        return Err(Failure::new("the --password-stdin option requires --username to be set"));
    }
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text)?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    match password.is_empty() {
        true => Err(Failure::new("password is empty")),
        false => Ok(password.to_owned()),
    }
}

/// Asks for what is missing, on a terminal only.
fn complete(key: &str, mut user: String, mut password: String) -> Result<Credential, Failure> {
    if !user.is_empty() && !password.is_empty() {
        return Ok(Credential { username: user, password, ..Credential::default() });
    }
    if !isatty(std::io::stdin()) {
        return Err(Failure::new("Cannot perform an interactive login from a non TTY device"));
    }
    if user.is_empty() {
        if key == credential::DEFAULT_KEY {
            crate::say!("Log in with your Docker ID to push and pull images from Docker Hub.")?;
        }
        user = prompt("Username: ", true)?;
        if user.is_empty() {
            return Err(Failure::new("username is required"));
        }
    }
    if password.is_empty() {
        password = prompt("Password: ", false)?;
        if password.is_empty() {
            return Err(Failure::new("password is required"));
        }
    }
    Ok(Credential { username: user, password, ..Credential::default() })
}

fn prompt(text: &str, is_shown: bool) -> Result<String, Failure> {
    let mut out = std::io::stdout().lock();
    write!(out, "{text}")?;
    out.flush()?;
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).map_err(std::io::Error::from)?;
    if !is_shown {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &silent).map_err(std::io::Error::from)?;
    }
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if !is_shown {
        tcsetattr(&stdin, OptionalActions::Now, &before).map_err(std::io::Error::from)?;
        writeln!(out)?;
    }
    read?;
    Ok(line.trim().to_owned())
}
