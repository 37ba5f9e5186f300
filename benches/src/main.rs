//! `side-by-side`: whole training and sampling steps of this project and of PyTorch, in turns, in one run.
//!
//! Every contender is a process of its own that computes only when it is asked (`protocol`); this one also starts ours
//! (`ours`), so that nobody has an advantage. Reads Linux's `/proc` for memory and machine.

mod check;
mod child;
mod contender;
mod machine;
#[path = "../../crates/cli/src/memory.rs"]
mod memory;
mod options;
mod ours;
mod peak;
mod protocol;
mod race;
mod record;
mod summary;
mod synthetic;
mod workload;

use clap::Parser;
use options::{Cli, Hidden, Options};
use std::io::Write;
use std::process::ExitCode;

/// Nobody but a person reads the errors of this program.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    memory::keep();
    let cli = Cli::parse();
    let result = match cli.hidden {
        Some(Hidden::ServeOurs {
            workload,
            dense,
            bf16,
        }) => ours::serve(&workload, dense, bf16),
        None => run(&cli.options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "side-by-side: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    if options.list {
        for w in workload::ALL {
            say(&format!("{:<21}{}", w.name, w.about))?;
        }
        return Ok(());
    }
    if options.workloads.is_empty() {
        return Err("name a workload; --list shows them, --help explains".into());
    }
    let names = options.workloads.iter();
    let workloads: Vec<_> = names.map(|n| workload::find(n)).collect::<Result<_>>()?;
    rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads()?)
        .build_global()?;
    for workload in workloads {
        if options.check {
            for line in check::check(workload, options)? {
                say(&line)?;
            }
            continue;
        }
        let tell = |what: &str| {
            let _ = writeln!(std::io::stderr(), "{}: {what}", workload.name);
        };
        let record = race::race(workload, options, &tell)?;
        let path = record.write(&options.runs)?;
        say(&format!("\n{}{}", summary::text(&record), path.display()))?;
    }
    Ok(())
}

/// A line on stdout.
fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
