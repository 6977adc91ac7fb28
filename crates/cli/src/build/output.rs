//! `--output`: what becomes of the image, read before the build and brought here after it.

use std::path::PathBuf;

use berth_client::{Client, Request};
use serde_json::Value;

use super::context::unpacker;
use crate::call::Failure;

/// One `--output`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// What is made.
    pub kind: Kind,
    /// Where; `-` for the standard output, empty where there is nothing to bring.
    pub place: String,
    /// Names that the image gets.
    pub names: Vec<String>,
    /// It goes to the registry of its names.
    pub push: bool,
    /// A folder instead of an archive.
    pub is_folder: bool,
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An image of the engine.
    Image,
    /// The files, in a folder.
    Local,
    /// The files, as an archive.
    Tar,
    /// An OCI layout.
    Oci,
    /// What `load` reads.
    Docker,
}

impl Output {
    /// Reads `type=local,dest=out`, `type=registry,name=x`, `out`, `-`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let mut output =
            Self { kind: Kind::Image, place: String::new(), names: Vec::new(), push: false, is_folder: false };
        let mut typed = false;
        for field in text.split(',') {
            match field.split_once('=') {
                Some(("type", value)) => {
                    typed = true;
                    output.set_kind(value)?;
                }
                Some(("dest", value)) => output.place = value.to_owned(),
                // A list of names is quoted as a whole: name="a,b" has its quotes already gone in a shell.
                Some(("name", value)) => output.names.extend(value.trim_matches('"').split(',').map(str::to_owned)),
                Some(("push", value)) => output.push = value == "true",
                Some(("tar", "false")) => output.is_folder = true,
                Some(("tar", "true")) => {}
                None if !typed && text == field => {
                    output.kind = if field == "-" { Kind::Tar } else { Kind::Local };
                    output.place = field.to_owned();
                }
                _ => return Err(Failure::new(format!("unknown field {field:?} of --output"))),
            }
        }
        match (output.kind, output.place.as_str()) {
            (Kind::Local, "") => Err(Failure::new("dest is required for local output".to_owned())),
            (Kind::Local, "-") => Err(Failure::new("dest cannot be stdout for local output".to_owned())),
            (Kind::Oci | Kind::Docker, "" | "-") if output.is_folder => {
                Err(Failure::new("dest is required for an output as a folder".to_owned()))
            }
            _ => Ok(output),
        }
    }

    fn set_kind(&mut self, kind: &str) -> Result<(), Failure> {
        self.kind = match kind {
            "image" | "moby" => Kind::Image,
            "registry" => {
                self.push = true;
                Kind::Image
            }
            "local" => Kind::Local,
            "tar" => Kind::Tar,
            "oci" => Kind::Oci,
            "docker" => Kind::Docker,
            other => return Err(Failure::new(format!("unknown output type {other:?}"))),
        };
        Ok(())
    }

    /// Refuses before the build what its result could not be put into.
    pub fn check(&self, platforms: usize) -> Result<(), Failure> {
        if platforms > 1 && matches!(self.kind, Kind::Docker | Kind::Tar) {
            return Err(Failure::new(
                "an output of this type holds one platform: use type=oci, type=local or a registry".to_owned(),
            ));
        }
        Ok(())
    }

    /// Brings it. `names` are the names of the image, `platforms` those asked for.
    pub async fn receive(
        &self,
        client: &Client,
        outcome: &Value,
        names: &[String],
        platforms: &[String],
    ) -> Result<(), Failure> {
        let ids: Vec<&str> = outcome["images"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let first = ids.first().copied().unwrap_or_default();
        match self.kind {
            Kind::Image if self.place.is_empty() => Ok(()),
            Kind::Docker | Kind::Image => {
                let wanted: Vec<&str> =
                    if names.is_empty() { vec![first] } else { names.iter().map(String::as_str).collect() };
                self.bring(client, Request::get("/images/get").each("names", wanted), &self.place).await
            }
            Kind::Oci => {
                let request = Request::get("/berth/build/bundle")
                    .each("id", ids.iter().copied())
                    .each("name", names.iter().map(String::as_str))
                    .on("index", ids.len() > 1);
                self.bring(client, request, &self.place).await
            }
            Kind::Tar => self.bring(client, Request::get(format!("/berth/build/files/{first}")), &self.place).await,
            Kind::Local => {
                for (number, id) in ids.iter().enumerate() {
                    let place = match platforms.get(number).filter(|_| ids.len() > 1) {
                        Some(platform) => PathBuf::from(&self.place).join(platform.replace('/', "_")),
                        None => PathBuf::from(&self.place),
                    };
                    folder(client, Request::get(format!("/berth/build/files/{id}")), place).await?;
                }
                Ok(())
            }
        }
    }

    async fn bring(&self, client: &Client, request: Request, place: &str) -> Result<(), Failure> {
        if self.is_folder {
            return folder(client, request, PathBuf::from(place)).await;
        }
        let mut stream = client.stream(request).await?;
        let mut out: Box<dyn std::io::Write> = match place {
            "" | "-" => Box::new(std::io::stdout()),
            path => {
                let made = std::fs::File::create(path);
                Box::new(made.map_err(|error| Failure::new(format!("open {path}: {}", crate::text::os(&error))))?)
            }
        };
        while let Some(piece) = stream.next().await? {
            out.write_all(&piece)?;
        }
        Ok(())
    }
}

/// Unpacks an answer into a folder.
pub async fn folder(client: &Client, request: Request, folder: PathBuf) -> Result<(), Failure> {
    let mut stream = client.stream(request).await?;
    std::fs::create_dir_all(&folder).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))?;
    let (sender, unpack) = unpacker(folder);
    while let Some(piece) = stream.next().await? {
        if sender.send(piece).is_err() {
            break;
        }
    }
    drop(sender);
    let unpacked = unpack.join().map_err(|_| Failure::new("unpacking failed".to_owned()))?;
    unpacked.map_err(|error| Failure::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read() {
        let read = |text: &str| Output::parse(text).map_err(|_| ()).expect("an output");
        assert_eq!((read("out").kind, read("out").place.as_str()), (Kind::Local, "out"));
        assert_eq!((read("-").kind, read("-").place.as_str()), (Kind::Tar, "-"));
        let registry = read("type=registry,name=a/b:c");
        assert!(registry.push && registry.names == ["a/b:c"]);
        assert!(read("type=image,name=x,push=true").push);
        assert!(read("type=oci,dest=d,tar=false").is_folder);
        for bad in ["type=local", "type=x", "type=tar,evil=1", "type=local,dest=-", "type=oci,tar=false"] {
            assert!(Output::parse(bad).is_err(), "{bad}");
        }
        assert!(read("type=docker,dest=x").check(2).is_err());
        assert!(read("type=oci,dest=x").check(2).is_ok());
    }
}
