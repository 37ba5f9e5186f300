//! `import`.

use crate::failure::{Failure, Result};
use crate::verbs::assemble::require_other_file;
use crate::verbs::plan;
use crate::{args, model, output};
use burn::tensor::Device;
use learngene_data::class_list;
use learngene_formats::Kind;
use learngene_nn::{Dit, cost, params};
use learngene_train::{RunConfig, weights};
use learngene_transfer::interop::{checkpoint, diffusers, lora};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// `import`: nothing is written before everything has been checked.
pub fn import(args: &args::Import, device: &str) -> Result<()> {
    let wanted = adapters(args)?;
    let (mut config, mut whole) = read(args, &model::device(device)?)?;
    for source in [&args.source]
        .into_iter()
        .chain(wanted.iter().map(|(_, path)| path))
    {
        require_other_file(&args.out, source)?;
    }
    let classes = class_list::names_in_all(&args.classes, &[])?;
    if !classes.is_empty() {
        if classes.len() != config.classes.len() {
            return Err(Failure::Usage(format!(
                "--classes names {} classes, the model has {}",
                classes.len(),
                config.classes.len()
            )));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = classes.iter().find(|name| !seen.insert(*name)) {
            return Err(Failure::Usage(format!(
                "--classes names `{twice}` twice, expected each class once"
            )));
        }
        config.classes = classes;
    }
    if !wanted.is_empty() {
        let read = |(class, path): &(Option<String>, PathBuf)| {
            Ok((class.clone(), lora::Lora::read(path, &config.model)?))
        };
        let read: Result<Vec<_>> = wanted.iter().map(read).collect();
        (config, whole) = lora::attach(&config, &whole, &read?)?;
    }
    if let Some(tensor) = params::first_not_finite(&whole) {
        let path = args.source.clone();
        return Err(Failure::NotFinite { path, tensor });
    }
    output::make_folder_of(&args.out)?;
    weights::file(Kind::Model, &config, &params::values(&whole)).write(&args.out)?;
    output::wrote(&args.out);
    output::json(&serde_json::json!({ "classes": config.classes }));
    plan::print(&cost::plan(&config.model));
    Ok(())
}

/// The model by what lies at the path.
fn read(args: &args::Import, device: &Device) -> Result<(RunConfig, Dit)> {
    let unused = [
        ("--part", args.part.is_some()),
        ("--heads", args.heads.is_some()),
    ];
    let of_checkpoint = args.source.is_file() && checkpoint::is_one(&args.source)?;
    if let Some((option, _)) = unused.iter().find(|(_, given)| *given && !of_checkpoint) {
        return Err(Failure::Usage(format!(
            "{option} is for a checkpoint with DiT's names; {} says it itself",
            args.source.display()
        )));
    }
    if let Some(folder) = diffusers::find(&args.source) {
        return Ok(diffusers::read(&folder, device)?);
    }
    if lora::is_folder_of_one(&args.source) {
        return Err(Failure::Usage(format!(
            "{0} is an adapter: give the model it is for, and --lora {0} or --tailor CLASS={0}",
            args.source.display()
        )));
    }
    if of_checkpoint {
        let part = args.part.as_deref();
        return Ok(checkpoint::read(&args.source, part, args.heads, device)?);
    }
    model::load(&args.source, device)
}

/// The adapters asked for, with their classes.
fn adapters(args: &args::Import) -> Result<Vec<(Option<String>, PathBuf)>> {
    let of_class = |given: &String| {
        let pair = class_list::split_at_equals(given);
        let (class, path) = pair.ok_or_else(|| {
            Failure::Usage(format!(
                "--tailor {given}: expected CLASS=LORA, such as face=lora/"
            ))
        })?;
        Ok((Some(class), Path::new(path).to_path_buf()))
    };
    let shared = args.lora.iter().map(|path| Ok((None, path.clone())));
    args.tailor.iter().map(of_class).chain(shared).collect()
}
