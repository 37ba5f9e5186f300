//! The `learngene` program: parse, plan, call. Exit codes: 0 done, 1 ran but a check failed, 2 usage or configuration,
//! 3 data or file, 4 numerical, 5 interrupted and checkpointed.

mod args;
mod failure;
mod features;
mod memory;
mod model;
mod output;
mod pictures;
mod quickstart;
mod training;
mod verbs;

use args::{Args, Verb};
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

fn main() -> ExitCode {
    memory::keep();
    learngene_data::pass_over_caught_panics();
    let args = Args::parse();
    if let Some(threads) = args.threads {
        // fails only if a pool exists already, and none does yet
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.into())
            .build_global();
    }
    let result = match args.verb {
        Verb::Quickstart(quickstart) => quickstart::run(&quickstart, &args.device),
        Verb::Data(data) => verbs::data(&data),
        Verb::Pretrain(pretrain) => verbs::pretrain(&pretrain, &args.device),
        Verb::Resume(resume) => verbs::resume(&resume, &args.device),
        Verb::Inspect(inspect) => verbs::inspect(&inspect, &args.device),
        Verb::Assemble(assemble) => verbs::assemble(&assemble, &args.device),
        Verb::Curve(curve) => verbs::curve(&curve, &args.device),
        Verb::Transfer(transfer) => verbs::transfer(&transfer, &args.device),
        Verb::Merge(merge) => verbs::merge(&merge, &args.device),
        Verb::Factorise(factorise) => verbs::factorise(&factorise, &args.device),
        Verb::Import(import) => verbs::import(&import, &args.device),
        Verb::Export(export) => verbs::export(&export, &args.device),
        Verb::Card(card) => verbs::card(&card, &args.device),
        #[cfg(feature = "hub")]
        Verb::Hub(hub) => verbs::hub(&hub),
        Verb::Autoencoder(verb) => verbs::autoencoder(&verb, &args.device),
        Verb::Encode(encode) => verbs::encode(&encode, &args.device),
        Verb::Sample(sample) => verbs::sample(&sample, &args.device),
        Verb::Eval(eval) => verbs::eval(&eval),
        Verb::Compare(compare) => verbs::compare(&compare, &args.device),
        Verb::Plan(plan) => verbs::plan(&plan),
        Verb::Completions { shell } => {
            completions(shell);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::report(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn completions(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "learngene", &mut script);
    output::say(String::from_utf8_lossy(&script).trim_end());
}
