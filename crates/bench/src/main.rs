//! `berth-bench`: how long things take, side by side in one run: berth, Debian's dockerd, and the machine's floor.
//!
//! Times vary from run to run by more than what is to be told apart, so every measurement takes the subjects in turn
//! (A B C A B C …), reports medians, and is read as a ratio. Each daemon lives in namespaces and folders of its own.

mod build;
mod floor;
mod measure;
mod memory;
mod network;
mod overhead;
mod pull;
mod registry;
mod report;
mod subject;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use report::Report;
use subject::Subjects;

/// Measures berth beside dockerd and the bare kernel, and prints tables in markdown.
#[derive(Debug, Parser)]
#[command(name = "berth-bench")]
struct Arguments {
    /// The berth binary to measure.
    #[arg(long, default_value = "dist/berth")]
    binary: PathBuf,
    /// Where the tables go, besides standard output.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Rounds of each measurement of single commands.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// Containers stored for the lists and the start-up.
    #[arg(long, default_value_t = 1000)]
    stored: usize,
    /// Measure what a container costs (run, exec, many at once, memory), lists and start-up, and nothing else.
    #[arg(long)]
    only_engine: bool,
    /// Measure pulls and nothing else.
    #[arg(long)]
    only_pulls: bool,
    /// Measure networks and nothing else.
    #[arg(long)]
    only_networks: bool,
    /// Measure registries and nothing else.
    #[arg(long)]
    only_registries: bool,
    /// Measure builds and nothing else.
    #[arg(long)]
    only_builds: bool,
    /// Measure what isolation costs and nothing else.
    #[arg(long)]
    only_overhead: bool,
    /// Rounds of each work of that.
    #[arg(long, default_value_t = 15)]
    overhead_rounds: usize,
    /// Do one work of that measurement here, and print its nanoseconds.
    #[arg(long, hide = true)]
    work: Option<String>,
    /// The folder that the work is done in.
    #[arg(long, hide = true, default_value = ".")]
    place: PathBuf,
    /// The server that the work speaks to.
    #[arg(long, hide = true)]
    address: Option<SocketAddr>,
    /// Leave dockerd out.
    #[arg(long)]
    alone: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(name) = &arguments.work {
        return overhead::work(name, &arguments.place, arguments.address);
    }
    if arguments.only_overhead {
        let page = overhead::overhead(&arguments.binary, arguments.overhead_rounds)?;
        print!("{page}");
        return Ok(arguments.output.map_or(Ok(()), |path| std::fs::write(path, page))?);
    }
    let mut report = Report::new(&arguments.binary)?;
    if arguments.only_registries {
        registry::registries(&arguments.binary, &mut report)?;
        print!("{}", report.finish());
        return Ok(());
    }
    let subjects = Subjects::start(&arguments.binary, arguments.alone)?;
    if arguments.only_pulls {
        pull::images(&subjects, &mut report)?;
        print!("{}", report.finish());
        return Ok(());
    }
    if arguments.only_builds {
        build::builds(&subjects, &mut report)?;
        print!("{}", report.finish());
        return Ok(());
    }
    if arguments.only_networks {
        network::networks(&subjects, &mut report)?;
        print!("{}", report.finish());
        return Ok(());
    }
    measure::single_commands(&subjects, arguments.rounds, &mut report)?;
    measure::many_at_once(&subjects, &mut report)?;
    memory::daemon_and_container(&subjects, &mut report)?;
    if !arguments.only_engine {
        pull::images(&subjects, &mut report)?;
        build::builds(&subjects, &mut report)?;
        network::networks(&subjects, &mut report)?;
        registry::registries(&arguments.binary, &mut report)?;
    }
    measure::lists_and_start_up(subjects, arguments.stored, &mut report)?;
    let text = report.finish();
    print!("{text}");
    if let Some(path) = arguments.output {
        std::fs::write(path, text)?;
    }
    Ok(())
}
