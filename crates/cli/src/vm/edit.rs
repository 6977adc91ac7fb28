//! `berth vm edit`: the definition in the user's editor, until it is valid or left as it was.

use crate::call::{Call, Failure, Outcome};
use crate::grammar::{Arity, Command, Flag};
use crate::prompt;
use crate::text;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

static FLAGS: &[Flag] = &[Flag::text("file", "Take the definition from a file (\"-\" is STDIN) instead of an editor")];

/// `berth vm edit`.
pub static COMMAND: Command = Command::verb(
    "[OPTIONS] MACHINE",
    "Edit the definition of a virtual machine with $VISUAL or $EDITOR",
    Arity::Exactly(1),
    |call| Box::pin(edit(call)),
)
.with(&[FLAGS]);

async fn edit(call: Call) -> Outcome {
    let (client, name) = (call.client()?, &call.args[0]);
    match call.flags.text("file") {
        "" => {}
        path => {
            let later = client.edit_machine(name, read(path)?).await?;
            return told(name, later);
        }
    }
    let old = client.machine_definition(name).await?;
    let draft = Draft::holding(name, &old)?;
    loop {
        run_editor(&draft.0)?;
        let text = std::fs::read_to_string(&draft.0).map_err(|e| Failure::new(crate::text::os(&e)))?;
        if text == old {
            crate::complain!("{name} stays as it is");
            return Ok(0);
        }
        match client.edit_machine(name, text).await {
            Ok(later) => return told(name, later),
            Err(error) => {
                crate::complain!("{error}");
                if !std::io::stdin().is_terminal() || !prompt::confirm("The definition was not taken. Edit it again?")?
                {
                    return Err(Failure::silent(1));
                }
            }
        }
    }
}

/// Says when a change is there.
pub fn told(name: &str, later: bool) -> Outcome {
    if later {
        crate::complain!("{name} runs: the change is there at its next start");
    }
    crate::say!("{name}")?;
    Ok(0)
}

fn read(path: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match path {
        "-" => std::io::stdin().read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|e| Failure::new(format!("read {path}: {}", crate::text::os(&e))))?;
    Ok(text)
}

/// As `git` finds it: the line is the shell's, the path its argument.
fn run_editor(path: &Path) -> Result<(), Failure> {
    let named = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    let editor = named.unwrap_or_else(|| "vi".to_owned());
    let status = std::process::Command::new("sh")
        .args(["-c", &format!("{editor} \"$@\""), "sh"])
        .arg(path)
        .status()
        .map_err(|e| Failure::new(format!("cannot run the editor {editor}: {}", text::os(&e))))?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!("the editor {editor} ended with {status}; nothing is changed"))),
    }
}

/// A file for the editor, which nobody else reads; removed in the end.
struct Draft(PathBuf);

impl Draft {
    fn holding(name: &str, text: &str) -> Result<Self, Failure> {
        let word: String = name.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
        for attempt in 0..100 {
            let path = std::env::temp_dir().join(format!("berth-{word}-{}-{attempt}.toml", std::process::id()));
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            match file {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => {
                    let draft = Self(path);
                    other
                        .and_then(|mut file| file.write_all(text.as_bytes()))
                        .map_err(|e| Failure::new(crate::text::os(&e)))?;
                    return Ok(draft);
                }
            }
        }
        Err(Failure::new("there is no free name for a temporary file"))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
