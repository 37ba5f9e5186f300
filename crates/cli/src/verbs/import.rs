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
use learngene_transfer::interop::checkpoint::{self, Asked};
use learngene_transfer::interop::{Remark, diffusers, lora};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// `import`: nothing is written before everything has been checked.
pub fn import(args: &args::Import, device: &str) -> Result<()> {
    let wanted = adapters(args)?;
    let classes = class_list::names_in_all(&args.classes, &[])?;
    let (mut config, mut whole, remarks) = read(args, classes.len(), &model::device(device)?)?;
    for source in [&args.source]
        .into_iter()
        .chain(wanted.iter().map(|(_, path)| path))
    {
        require_other_file(&args.out, source)?;
    }
    remarks.iter().for_each(remark);
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
            let adapter = lora::Lora::read(path, &config.model)?;
            adapter.remarks.iter().for_each(remark);
            Ok((class.clone(), adapter))
        };
        let read: Result<Vec<_>> = wanted.iter().map(read).collect();
        (config, whole) = lora::attach(&config, &whole, &read?)?;
    }
    if let Some(tensor) = params::first_not_finite(&whole) {
        let path = args.source.clone();
        return Err(Failure::NotFinite { path, tensor });
    }
    output::make_folder_of(&args.out)?;
    weights::file(Kind::Model, &config, weights::of_model(&whole)).write(&args.out)?;
    output::wrote(&args.out);
    output::json(&serde_json::json!({ "classes": config.classes }));
    plan::print(&cost::plan(&config.model));
    Ok(())
}

fn remark(remark: &Remark) {
    output::note(&remark.to_string());
}

/// The model by what lies at the path, and what is to be said of it; `classes` are as many as were named, 0 for none.
fn read(
    args: &args::Import,
    classes: usize,
    device: &Device,
) -> Result<(RunConfig, Dit, Vec<Remark>)> {
    let source = &args.source;
    let found = diffusers::find(source);
    let of_checkpoint = found.is_none() && source.exists() && checkpoint::is_one(source)?;
    let unused = [
        ("--part", args.part.is_some()),
        ("--heads", args.heads.is_some()),
    ];
    if let Some((option, _)) = unused.iter().find(|(_, given)| *given && !of_checkpoint) {
        return Err(Failure::Usage(format!(
            "{option} is for a checkpoint with DiT's names; {} says it itself",
            source.display()
        )));
    }
    let imported = if let Some(found) = found {
        diffusers::read(&found, device)?
    } else if lora::is_folder_of_one(source) {
        return Err(Failure::Usage(format!(
            "{0} is an adapter: give the model it is for, and --lora {0} or --tailor CLASS={0}",
            source.display()
        )));
    } else if of_checkpoint {
        let asked = Asked {
            part: args.part.as_deref(),
            heads: args.heads,
            classes: Some(classes).filter(|count| *count > 0),
        };
        checkpoint::read(source, &asked, device)?
    } else {
        let (config, model) = model::load(source, device)?;
        return Ok((config, model, Vec::new()));
    };
    Ok((imported.config, imported.model, imported.remarks))
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
