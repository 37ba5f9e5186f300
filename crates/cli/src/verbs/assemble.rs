//! `assemble`.

use crate::failure::{Failure, Result};
use crate::verbs::{plan, quality};
use crate::{args, model, output};
use learngene_data::class_list;
use learngene_formats::Kind;
use learngene_nn::{cost, params};
use learngene_train::{Gating, RunConfig, weights};
use learngene_transfer::{Budget, Fit, TailorSet, assemble_with};
use serde_json::json;
use std::path::Path;

/// `assemble`: nothing is written before everything has been checked.
pub fn assemble(args: &args::Assemble, device: &str) -> Result<()> {
    let file = model::find(&args.model)?;
    let (config, loaded) = model::load(&file, &model::device(device)?)?;
    let tailors = args.tailors.iter().map(|path| TailorSet::read(path));
    let tailors = tailors.collect::<std::result::Result<Vec<_>, _>>()?;
    let budget = Budget {
        parameters: args.max_params,
        macs: args.max_macs,
        bytes: args.max_bytes,
    };
    let mut known = config.classes.clone();
    known.extend(tailors.iter().flat_map(|set| set.classes()).cloned());
    let free = args.classes.is_empty();
    let wanted = match free {
        true => known,
        false => class_list::names_in_all(&args.classes, &known)?,
    };
    let (whole_config, whole) = assemble_with(&config, &loaded, &tailors, &wanted, None)?;
    drop(loaded);
    let fit = match budget.is_free() {
        true => None,
        false => Some(learngene_transfer::fit(
            &whole_config,
            &whole,
            &budget,
            free,
        )?),
    };
    let (classes, components) = match &fit {
        Some(fit) => (fit.classes.clone(), Some(fit.components)),
        None => (wanted, args.learngene),
    };
    let smaller =
        |components| learngene_transfer::assemble(&whole_config, &whole, &classes, components);
    let (config, part) = match components {
        None => (whole_config.clone(), whole.clone()),
        some => smaller(some)?,
    };
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
    // Both are of the same classes in the same order, so the draws are the same.
    let checked = match &args.data {
        Some(source) => {
            let data = quality::load(&config, source, args.class_map.as_deref())?;
            let whole = smaller(None)?.1;
            let of = |model| quality::losses(&config, model, &data, Gating::Right);
            Some((of(&whole)?, of(&part)?))
        }
        None => None,
    };
    output::make_folder_of(&args.out)?;
    weights::file(Kind::Model, &config, weights::of_model(&part)).write(&args.out)?;
    output::wrote(&args.out);
    if let Some(fit) = &fit {
        output::say(&kept(fit, &whole_config));
        output::json(&json!({ "energy": fit.energy }));
    }
    if let Some((before, after)) = checked {
        output::say(&quality::compared(&before, &after)?);
        output::json(
            &json!({ "whole": before, "assembly": after, "rise": quality::rise(&before, &after)? }),
        );
    }
    let components = config.model.learngene_rank();
    output::json(&json!({ "classes": config.classes, "components": components }));
    plan::print(&cost::plan(&config.model));
    Ok(())
}

/// What a budget has left of a model.
fn kept(fit: &Fit, whole: &RunConfig) -> String {
    format!(
        "kept {} of {} classes ({}) and {} of {} learngene components of each matrix, with {:.1} % of the learngene's energy: {}",
        fit.classes.len(),
        whole.classes.len(),
        fit.classes.join(", "),
        fit.components,
        whole.model.learngene_rank().unwrap_or_default(),
        100.0 * fit.energy,
        fit.size
    )
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
