//! `inspect`.

use crate::failure::Result;
use crate::verbs::{diversion, plan};
use crate::{args, model, output};
use learngene_formats::manifest::{MANIFEST_NAME, Manifest};
use learngene_formats::{Checkpoints, FormatError, Header, Kind, Mismatch, container};
use learngene_nn::{Sharing, Superclass, cost, params};
use learngene_train::{Method, RunConfig, weights};
use learngene_transfer::{Adapter, TailorSet};
use std::path::Path;

/// `inspect`: reads the header of the weight file alone, unless the diversion is to be measured.
pub fn inspect(args: &args::Inspect, device: &str) -> Result<()> {
    if let (true, Some(source)) = (args.diversion, &args.data) {
        return diversion::report(args, source, device);
    }
    let path = model::find(&args.model)?;
    let header = Header::read(&path)?;
    if ![Kind::Model, Kind::Ema, Kind::Tailor, Kind::Adapter].contains(&header.kind) {
        return Err(FormatError::Kind {
            path,
            expected: "model, ema, tailor or adapter".into(),
            found: header.kind.to_string(),
        }
        .into());
    }
    let config = weights::config_of(&header, &path)?;
    // Of a file that contradicts itself, neither part can be shown as what it holds.
    let expected = match header.kind {
        Kind::Tailor => TailorSet::layout(&config),
        Kind::Adapter => Adapter::layout(&config),
        _ => params::layout(&config.model),
    };
    Mismatch::between_shapes(&container::read_shapes(&path)?, &expected).refuse(&path)?;
    let cost = cost::plan(&config.model);
    let (step, best) = (step_of(&path)?, best_of(&path));
    output::json(&serde_json::json!({
        "file": path, "kind": header.kind, "classes": config.classes, "step": step,
        "best": best.map(|(step, loss)| serde_json::json!({"step": step, "validation_v_loss": loss})),
        "learngene_blake3": header.learngene, "method": config.method, "model": config.model, "train": config.train, "cost": cost,
    }));
    let line = |name: &str, value: &str| output::say(&format!("{name:<13}{value}"));
    line("file", &path.display().to_string());
    line("kind", &kind(header.kind));
    line(
        "classes",
        &format!("{}: {}", config.classes.len(), config.classes.join(", ")),
    );
    if !config.model.superclasses.is_empty() {
        line("superclasses", &superclasses(&config));
    }
    line("input", &input(&config));
    line("projections", &projections(&config));
    if let Some(method) = &config.method {
        line("method", &of_method(method));
    }
    line("learngene", header.learngene.as_deref().unwrap_or("(none)"));
    let planned = config.train.steps;
    match step {
        Some(step) => line("steps", &format!("{step} of {planned}")),
        None => line(
            "steps",
            &format!("{planned} planned (the file is no checkpoint)"),
        ),
    }
    if let Some((step, loss)) = best {
        line("best", &format!("step {step}, validation v loss {loss:.4}"));
    }
    output::say("");
    match header.kind {
        Kind::Tailor => plan::print_tailors(&cost),
        _ => plan::print(&cost),
    }
    Ok(())
}

/// Steps done, if the file lies in a checkpoint.
fn step_of(path: &Path) -> Result<Option<u64>> {
    match path.parent() {
        Some(folder) if folder.join(MANIFEST_NAME).is_file() => {
            Ok(Some(Manifest::read(folder)?.step))
        }
        _ => Ok(None),
    }
}

/// Step and validation loss of the best checkpoint of the run that the file is of.
fn best_of(path: &Path) -> Option<(u64, f64)> {
    let checkpoint = path
        .parent()
        .filter(|folder| folder.join(MANIFEST_NAME).is_file())?;
    Checkpoints::at(checkpoint.parent()?).best_metric().ok()?
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Ema => "model (moving average of its weights)".into(),
        Kind::Adapter => {
            "adapter, to attach to the model it was trained on with `learngene merge`".into()
        }
        Kind::Tailor => "tailors, to attach to their learngene with `learngene assemble`".into(),
        other => other.to_string(),
    }
}

fn of_method(method: &Method) -> String {
    let settings = method
        .settings
        .iter()
        .map(|(name, value)| format!("{name} {value}"));
    let all: Vec<String> = [method.name.clone()].into_iter().chain(settings).collect();
    all.join(", ")
}

fn superclasses(config: &RunConfig) -> String {
    let all = &config.model.superclasses;
    let of = |s: &Superclass| {
        let names = s.classes.iter().filter_map(|&c| config.classes.get(c));
        let names: Vec<&str> = names.map(String::as_str).collect();
        let tailors = match s.tailors.get() {
            1 => String::new(),
            count => format!(" of {count} tailors"),
        };
        format!("{}{tailors} ({})", s.name, names.join(", "))
    };
    let each: Vec<String> = all.iter().map(of).collect();
    format!("{}: {}", all.len(), each.join(", "))
}

fn input(config: &RunConfig) -> String {
    let [c, h, w] = config.model.input;
    let patch = config.model.patch;
    format!("{c}x{h}x{w} in patches of {patch}x{patch}")
}

fn projections(config: &RunConfig) -> String {
    let model = &config.model;
    let shared = match model.sharing {
        Sharing::Class => "",
        Sharing::Labelled | Sharing::Every => ", one tailor for all classes",
    };
    let made_of = match (model.learngene_rank(), model.tailor_rank) {
        (Some(learngene), tailor) => format!("factorised, rank split {learngene},{tailor}"),
        (None, 0) => "dense".into(),
        (None, tailor) => format!("dense, tailors of rank {tailor}"),
    };
    made_of + shared
}
