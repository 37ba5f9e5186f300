//! `factorise`.

use crate::failure::{Failure, Result};
use crate::verbs::assemble::require_other_file;
use crate::verbs::{plan, runs};
use crate::{args, model, output};
use learngene_formats::Kind;
use learngene_nn::{cost, params};
use learngene_train::weights;
use learngene_transfer::Kept;

/// `factorise`: nothing is written before everything has been checked.
pub fn factorise(args: &args::Factorise, device: &str) -> Result<()> {
    let file = model::find(&args.model)?;
    let mut device = model::device(device)?;
    if args.fine_tune.is_some() {
        device = device.autodiff();
    }
    let (config, dense) = model::load(&file, &device)?;
    let split = args.rank_split.parse()?;
    let (config, factorised, kept) = learngene_transfer::factorise(&config, &dense, split)?;
    if let Some(tensor) = params::first_not_finite(&factorised) {
        return Err(Failure::NotFinite { path: file, tensor });
    }
    if args.fine_tune.is_some() {
        print(&kept);
        return runs::fine_tune(args, config, factorised);
    }
    require_other_file(&args.out, &file)?;
    output::make_folder_of(&args.out)?;
    weights::file(Kind::Model, &config, weights::of_model(&factorised)).write(&args.out)?;
    print(&kept);
    output::json(&serde_json::json!({ "file": args.out }));
    output::wrote(&args.out);
    plan::print(&cost::plan(&config.model));
    Ok(())
}

fn print(kept: &Kept) {
    let energy: Vec<_> = (kept.energy.iter())
        .map(|e| serde_json::json!({ "matrix": e.matrix, "learngene": e.learngene, "with_tailor": e.with_tailor }))
        .collect();
    output::json(&serde_json::json!({
        "energy": energy, "difference": { "labelled": kept.labelled, "unlabelled": kept.unlabelled },
    }));
    let share = |part: f64| format!("{part:.4}");
    let row = |e: &learngene_transfer::Energy| {
        vec![e.matrix.into(), share(e.learngene), share(e.with_tailor)]
    };
    let rows: Vec<Vec<String>> = kept.energy.iter().map(row).collect();
    output::table(&["energy kept", "learngene", "with a first tailor"], &rows);
    output::say(&format!(
        "output off by {:.4} of its size with labels, {:.4} without (noise at times 0 to 999)",
        kept.labelled, kept.unlabelled
    ));
    output::say("");
}
