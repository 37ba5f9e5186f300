//! `assemble`.

use crate::failure::{Failure, Result};
use crate::verbs::plan;
use crate::{args, model, output};
use learngene_formats::Kind;
use learngene_nn::{cost, params};
use learngene_train::weights;
use learngene_transfer::TailorSet;
use std::path::Path;

/// `assemble`: nothing is written before everything has been checked.
pub fn assemble(args: &args::Assemble, device: &str) -> Result<()> {
    let file = model::find(&args.model)?;
    let (config, whole) = model::load(&file, &model::device(device)?)?;
    let tailors = args.tailors.iter().map(|path| TailorSet::read(path));
    let tailors = tailors.collect::<std::result::Result<Vec<_>, _>>()?;
    let (config, part) = learngene_transfer::assemble_with(
        &config,
        &whole,
        &tailors,
        &args.classes,
        args.learngene,
    )?;
    let sources = tailors.iter().map(|set| set.path().to_path_buf());
    for source in sources.chain([file]) {
        require_other_file(&args.out, &source)?;
    }
    if let Some(tensor) = params::first_not_finite(&part) {
        let path = tailors
            .first()
            .map_or(args.model.as_path(), |set| set.path());
        return Err(Failure::NotFinite {
            path: path.into(),
            tensor,
        });
    }
    output::make_folder_of(&args.out)?;
    weights::file(Kind::Model, &config, &params::values(&part)).write(&args.out)?;
    output::say(&format!("wrote {}", args.out.display()));
    plan::print(&cost::plan(&config.model));
    Ok(())
}

/// Refuses to replace what the model was made from.
pub(super) fn require_other_file(out: &Path, source: &Path) -> Result<()> {
    match (out.canonicalize(), source.canonicalize()) {
        (Ok(out), Ok(source)) if out == source => Err(Failure::Usage(format!(
            "--out {} is what the model is made from; choose another file",
            out.display()
        ))),
        _ => Ok(()),
    }
}
