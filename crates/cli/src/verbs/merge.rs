//! `merge`.

use crate::failure::{Failure, Result};
use crate::verbs::assemble::require_other_file;
use crate::verbs::plan;
use crate::{args, model, output};
use learngene_formats::Kind;
use learngene_nn::{cost, params};
use learngene_train::weights;
use learngene_transfer::Adapter;

/// `merge`: nothing is written before everything has been checked.
pub fn merge(args: &args::Merge, device: &str) -> Result<()> {
    let device = model::device(device)?;
    let file = model::find(&args.model)?;
    let (mut config, mut whole) = model::load(&file, &device)?;
    require_other_file(&args.out, &file)?;
    if let Some(path) = &args.adapter {
        require_other_file(&args.out, path)?;
        (config, whole) = Adapter::read(path)?.attach(&config, &whole, &device)?;
    }
    let (config, merged) = learngene_transfer::merge(&config, &whole)?;
    if let Some(tensor) = params::first_not_finite(&merged) {
        let path = args.adapter.clone().unwrap_or(file);
        return Err(Failure::NotFinite { path, tensor });
    }
    output::make_folder_of(&args.out)?;
    weights::file(Kind::Model, &config, weights::of_model(&merged)).write(&args.out)?;
    output::wrote(&args.out);
    output::json(&serde_json::json!({ "classes": config.classes }));
    plan::print(&cost::plan(&config.model));
    Ok(())
}
