//! The `learngene` program: parse, plan, call. Exit codes: 0 done, 1 ran but a check failed, 2 usage or configuration,
//! 3 data or file, 4 numerical, 5 interrupted and checkpointed, 130 stopped at once.

mod args;
mod failure;
mod features;
mod memory;
mod model;
mod output;
mod page;
mod pictures;
mod progress;
mod quickstart;
mod run_page;
mod terminal;
mod training;
mod verbs;

use args::{Args, Verb};
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use failure::{CHECK, Result};
use std::process::ExitCode;

fn main() -> ExitCode {
    memory::keep();
    learngene_data::pass_over_caught_panics();
    let (args, verb) = typed();
    if args.json {
        output::begin_document(&verb);
    }
    progress::begin(&verb, args.progress_every);
    let result = threads(args.threads).and_then(|()| carry_out(&args));
    progress::end();
    // A check that failed is a result as well.
    if result
        .as_ref()
        .map_or_else(failure::Failure::exit_code, |_| CHECK)
        == CHECK
    {
        output::end_document();
    }
    match result.and_then(|()| terminal::end()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::report(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Starts the threads that compute.
fn threads(count: Option<u16>) -> Result<()> {
    let Some(count) = count else {
        return Ok(());
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count.into());
    pool.build_global().map_err(|error| {
        failure::Failure::Usage(format!(
            "--threads {count} cannot be started ({error}): ask for fewer"
        ))
    })
}

/// What was typed, and the names of the verb.
fn typed() -> (Args, String) {
    let parsed = Args::command()
        .try_get_matches()
        .and_then(|matches| Ok((Args::from_arg_matches(&matches)?, verb(&matches))));
    parsed.unwrap_or_else(|mut error| {
        if !error.use_stderr() {
            // Help and the version are results, which may not fit on a disk.
            let failed = terminal::printed(error.print()).err();
            failed.iter().for_each(|failure| output::report(failure));
            std::process::exit(failed.map_or(0, |failure| failure.exit_code().into()));
        }
        // Clap offers `-- --option` to every verb that takes a path, which nobody means.
        if let Some(ContextValue::StyledStrs(tips)) = error.remove(ContextKind::Suggested) {
            let tips: Vec<StyledStr> = tips
                .into_iter()
                .filter(|tip| !tip.to_string().contains(" as a value, "))
                .collect();
            if !tips.is_empty() {
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
            }
        }
        error.format(&mut Args::command()).exit()
    })
}

fn verb(matches: &ArgMatches) -> String {
    let deeper = std::iter::successors(matches.subcommand(), |(_, matches)| matches.subcommand());
    deeper.map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

fn carry_out(args: &Args) -> Result<()> {
    let device = &args.device;
    match &args.verb {
        Verb::Quickstart(quickstart) => quickstart::run(quickstart, device),
        Verb::Data(data) => verbs::data(data, device),
        Verb::Pretrain(pretrain) => verbs::pretrain(pretrain, device),
        Verb::Resume(resume) => verbs::resume(resume, device),
        Verb::Inspect(inspect) => verbs::inspect(inspect, device),
        Verb::Assemble(assemble) => verbs::assemble(assemble, device),
        Verb::Curve(curve) => verbs::curve(curve, device),
        Verb::Transfer(transfer) => verbs::transfer(transfer, device),
        Verb::Merge(merge) => verbs::merge(merge, device),
        Verb::Factorise(factorise) => verbs::factorise(factorise, device),
        Verb::Import(import) => verbs::import(import, device),
        Verb::Export(export) => verbs::export(export, device),
        Verb::Card(card) => verbs::card(card, device),
        #[cfg(feature = "hub")]
        Verb::Hub(hub) => verbs::hub(hub),
        #[cfg(not(feature = "hub"))]
        Verb::Hub { .. } => Err(failure::Failure::Usage(
            "this program was built without `hub`: build it with `cargo build --release --features hub`"
                .into(),
        )),
        Verb::Autoencoder(verb) => verbs::autoencoder(verb, device),
        Verb::Encode(encode) => verbs::encode(encode, device),
        Verb::Sample(sample) => verbs::sample(sample, device),
        Verb::Eval(eval) => verbs::eval(eval),
        Verb::Compare(compare) => verbs::compare(compare, device),
        Verb::Plan(plan) => verbs::plan(plan),
        Verb::Completions { shell } => {
            completions(*shell);
            Ok(())
        }
    }
}

fn completions(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "learngene", &mut script);
    let script = String::from_utf8_lossy(&script);
    output::say(script.trim_end());
    output::json(&serde_json::json!({ "script": script }));
}
