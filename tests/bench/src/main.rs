//! Every figure that we claim, measured on the machine at hand.
//!
//! Each subcommand prints one report, with what was aimed at beside it. Inputs come from a trace of this
//! machine's own `/proc`, recorded on the spot or read from a file, never from made-up numbers.

mod cpu;
mod detect;
mod gorilla;
mod ingest;
mod load;
mod overhead;
mod process;
mod product;
mod query;
mod rca;
mod report;
mod rivals;
mod shipping;
mod spool;
mod store;
mod templates;
mod trace;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::trace::Trace;

#[derive(Parser)]
#[command(
    name = "firstlook-bench",
    about = "Measures the figures that Firstlook claims"
)]
struct Cli {
    /// Print the report as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    figure: Figure,
}

#[derive(Subcommand)]
enum Figure {
    /// Bytes per sample on disk, beside other ways to store the same samples.
    Store(Input),
    /// Reading all series of 50 hosts over 30 minutes.
    Query(Input),
    /// Samples per CPU-second from wire bytes to durable and detected.
    Ingest(Input),
    /// CPU and memory of the agent on a busy host, beside a known exporter.
    AgentOverhead(overhead::Options),
    /// The same on a host with more of everything, beside all that are installed of node exporter, netdata,
    /// collectd and atop.
    AgentLoaded(overhead::Options),
    /// How well and fast log lines are grouped, on labelled logs, beside Drain3.
    Templates(templates::Options),
    /// How often the component at fault comes first on recorded incidents.
    Rca(rca::Options),
    /// How well and fast level one tells anomalies in labelled streams, beside simple methods.
    Detect(detect::Options),
    /// Lines from a file to where they are kept: CPU per gigabyte and speed, beside rsyslog.
    LogShipping(shipping::Options),
    /// An hour without the collector: what the journal keeps of it, and how long draining takes.
    Spool(spool::Options),
    /// The other end of `agent-overhead`'s connections.
    #[command(hide = true)]
    AnswerConnections {
        /// How many.
        count: u32,
    },
}

#[derive(Args)]
struct Input {
    /// Seconds of /proc to record, once a second. At least the 120 of a stored block, or the block would
    /// see the trace repeat.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(120..=3600))]
    seconds: u32,
    /// A trace to read instead of recording, or to write when it is not there.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Folder for the store, made and removed; best on the kind of disk that will be used.
    #[arg(long)]
    directory: Option<PathBuf>,
}

impl Input {
    fn trace(&self) -> anyhow::Result<Trace> {
        Trace::obtain(self.trace.as_deref(), self.seconds)
    }

    fn folder(&self) -> anyhow::Result<tempfile::TempDir> {
        Ok(match &self.directory {
            Some(directory) => tempfile::tempdir_in(directory)?,
            None => tempfile::tempdir()?,
        })
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let report = match &cli.figure {
        Figure::Store(input) => store::measure(input)?,
        Figure::Query(input) => query::measure(input)?,
        Figure::Ingest(input) => ingest::measure(input)?,
        Figure::AgentOverhead(options) => overhead::measure(options)?,
        Figure::AgentLoaded(options) => overhead::measure_loaded(options)?,
        Figure::Templates(options) => templates::measure(options)?,
        Figure::Rca(options) => rca::measure(options)?,
        Figure::Detect(options) => detect::measure(options)?,
        Figure::LogShipping(options) => shipping::measure(options)?,
        Figure::Spool(options) => spool::measure(options)?,
        Figure::AnswerConnections { count } => return overhead::answer_connections(*count),
    };
    report.print(cli.json)
}
