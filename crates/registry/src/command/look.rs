//! `gc`, `ls`, `stats`, `scrub`: by the registry that runs, where one does.

use std::{process::ExitCode, time::Duration};

use clap::Args;

use super::{Place, parse};
use crate::{
    Error, Result,
    collect::{Collected, Scrubbed, Terms},
    ledger::{Ledger, list},
    registry::{Registry, ledger_path},
    serve::door,
    settings::Settings,
};

#[derive(Debug, Args)]
pub struct Gc {
    #[command(flatten)]
    place: Place,
    /// Keep what nobody refers to this long
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse::time)]
    grace: Duration,
    /// Keep uploads that nobody goes on with this long
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse::time)]
    uploads: Duration,
    /// Manifests without tag too
    #[arg(long)]
    untagged: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Ls {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// List its tags
    repository: Option<String>,
}

#[derive(Debug, Args)]
pub struct Stats {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct Scrub {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn existing(place: &Place) -> Result<Ledger> {
    let path = ledger_path(&place.root);
    if path.exists() {
        return Ledger::open(&path);
    }
    Err(Error::Setting { name: place.root.display().to_string(), reason: "there is no registry".to_owned() })
}

fn print_json<T: serde::Serialize>(value: &T) {
    println!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Collects garbage.
///
/// # Errors
/// Those of the registry.
pub async fn gc(flags: Gc) -> Result<()> {
    let terms = Terms { grace_s: flags.grace.as_secs(), upload_s: flags.uploads.as_secs(), untagged: flags.untagged };
    let body = serde_json::to_vec(&terms).unwrap_or_default();
    let collected: Collected = match door::ask(&flags.place.root, "POST", "/gc", body).await? {
        Some(collected) => collected,
        None => {
            drop(existing(&flags.place)?);
            Registry::open(Settings::new(flags.place.root)).await?.collect(terms).await?
        }
    };
    if flags.json {
        print_json(&collected);
        return Ok(());
    }
    println!("blobs removed:        {} ({} bytes)", collected.blobs, collected.bytes);
    println!("links removed:        {}", collected.links);
    println!("manifests removed:    {}", collected.manifests);
    println!("uploads removed:      {}", collected.uploads);
    println!("strays removed:       {}", collected.strays);
    println!("repositories removed: {}", collected.repositories);
    Ok(())
}

/// Lists repositories or tags.
///
/// # Errors
/// Those of the ledger.
pub fn ls(flags: &Ls) -> Result<()> {
    let ledger = existing(&flags.place)?;
    if let Some(name) = &flags.repository {
        let lines = ledger.read("list tags", |c| list::tag_lines(c, name))?;
        if flags.json {
            print_json(&lines);
            return Ok(());
        }
        println!("{:<32} {:<72} UPDATED", "TAG", "DIGEST");
        for line in lines {
            let time = jiff::Timestamp::from_second(line.updated).unwrap_or_default();
            println!("{:<32} {:<72} {time}", line.tag, line.digest);
        }
        return Ok(());
    }
    let lines = ledger.read("list repositories", list::lines)?;
    if flags.json {
        print_json(&lines);
        return Ok(());
    }
    println!("{:<48} {:>8} {:>10} {:>16}", "REPOSITORY", "TAGS", "MANIFESTS", "BYTES");
    for line in lines {
        println!("{:<48} {:>8} {:>10} {:>16}", line.name, line.tags, line.manifests, line.bytes);
    }
    Ok(())
}

/// Shows sums.
///
/// # Errors
/// Those of the ledger.
pub fn stats(flags: &Stats) -> Result<()> {
    let sums = existing(&flags.place)?.read("count", list::sums)?;
    if flags.json {
        print_json(&sums);
        return Ok(());
    }
    println!("repositories: {}", sums.repositories);
    println!("tags:         {}", sums.tags);
    println!("manifests:    {}", sums.manifests);
    println!("blobs:        {} ({} bytes)", sums.blobs, sums.blob_bytes);
    println!("shared:       {} bytes", sums.linked_bytes.saturating_sub(sums.blob_bytes));
    Ok(())
}

/// Reads everything again; the exit code is 1 when something was broken.
///
/// # Errors
/// Those of the registry.
pub async fn scrub(flags: Scrub) -> Result<ExitCode> {
    let scrubbed: Scrubbed = match door::ask(&flags.place.root, "POST", "/scrub", Vec::new()).await? {
        Some(scrubbed) => scrubbed,
        None => {
            drop(existing(&flags.place)?);
            Registry::open(Settings::new(flags.place.root)).await?.scrub().await?
        }
    };
    if flags.json {
        print_json(&scrubbed);
    } else {
        println!("blobs:     {} ({} bytes)", scrubbed.blobs, scrubbed.bytes);
        println!("manifests: {}", scrubbed.manifests);
        scrubbed.broken.iter().for_each(|digest| println!("broken, put aside: {digest}"));
    }
    Ok(if scrubbed.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
