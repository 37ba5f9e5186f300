//! What was typed.

use crate::Result;
use crate::contender::Attention;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  python3 -m venv ~/bench-venv && ~/bench-venv/bin/pip install -r benches/peers/requirements.txt
  export LEARNGENE_BENCH_PYTHON=~/bench-venv/bin/python
  cargo run --release -p learngene-bench -- --list
  cargo run --release -p learngene-bench -- dense-s-256 dense-s-64 dense-nano-64
  cargo run --release -p learngene-bench -- kind-150 --rounds 21 --turn 2
  cargo run --release -p learngene-bench -- threads-dense                  needs no Python
  cargo run --release -p learngene-bench -- --check kind-12                compare results, not times

On an otherwise idle machine. benches/README.md says how to read what comes out.";

/// Times whole training and sampling steps of this project and of PyTorch in turns, in one run.
#[derive(Parser, Debug)]
#[command(
    name = "side-by-side",
    version,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    #[command(subcommand)]
    pub hidden: Option<Hidden>,
    #[command(flatten)]
    pub options: Options,
}

/// What the runner starts itself.
#[derive(Subcommand, Debug)]
pub enum Hidden {
    /// Our side of a workload, told what to do on stdin.
    #[command(hide = true)]
    ServeOurs {
        workload: String,
        #[arg(long)]
        dense: bool,
        #[arg(long)]
        bf16: bool,
    },
}

#[derive(Args, Debug)]
pub struct Options {
    /// Workloads to time, one after another (`--list` shows them)
    pub workloads: Vec<String>,

    /// Show the workloads and end
    #[arg(long)]
    pub list: bool,

    /// Compare outputs and gradients with PyTorch's for equal weights and inputs instead of timing
    #[arg(long, conflicts_with = "list")]
    pub check: bool,

    /// Rounds; in each, every contender has one turn
    #[arg(long, default_value_t = 15, value_name = "N")]
    pub rounds: usize,

    /// Rounds before those that count
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub warm_up: usize,

    /// Least length of a turn; a turn is as many whole steps as that takes
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    pub turn: f64,

    /// Nobody computes for so long between turns, until spinning threads have gone to sleep
    #[arg(long, default_value_t = 0.3, value_name = "SECONDS")]
    pub pause: f64,

    /// Threads of every contender [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Only these beside ours, by name: ours-bf16,eager,compile,bf16,bf16-compile,ours-dense,ours-1-thread;
    /// `ours` for none
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub only: Option<Vec<String>>,

    /// The peers' attention [default: both are tried, the faster takes part]
    #[arg(long)]
    pub attention: Option<Attention>,

    /// A Python with benches/peers/requirements.txt installed [default: $LEARNGENE_BENCH_PYTHON]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,

    /// An environment variable of the peers alone; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub peer_env: Vec<String>,

    /// Folder for the raw times
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/runs"), hide_default_value = true)]
    pub runs: PathBuf,
}

impl Options {
    /// Threads of every contender.
    pub fn threads(&self) -> Result<usize> {
        match self.threads {
            Some(0) => Err("--threads is 0; at least one is needed".into()),
            Some(threads) => Ok(threads),
            None => Ok(std::thread::available_parallelism()?.get()),
        }
    }

    /// The Python of the peers.
    pub fn python(&self) -> Result<PathBuf> {
        let given = self.python.clone();
        let variable = || std::env::var_os("LEARNGENE_BENCH_PYTHON").map(PathBuf::from);
        given.or_else(variable).ok_or_else(|| {
            "no Python for the peers: run `python3 -m venv ~/bench-venv && ~/bench-venv/bin/pip install -r \
             benches/peers/requirements.txt`, then pass --python ~/bench-venv/bin/python or set \
             LEARNGENE_BENCH_PYTHON"
                .into()
        })
    }
}
