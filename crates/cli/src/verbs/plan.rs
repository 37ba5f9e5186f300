//! `plan`, and the table of costs that other verbs print as well.

use crate::failure::{Failure, Result};
use crate::verbs::resolve::{Matrices, superclasses};
use crate::{args, output};
use learngene_data::ClassTree;
use learngene_nn::DitConfig;
use learngene_nn::cost::{self, Cost, Plan};

/// `plan`.
pub fn plan(args: &args::Plan) -> Result<()> {
    let sides = args.input.split('x').map(str::parse);
    let sides: std::result::Result<Vec<usize>, _> = sides.collect();
    let input = sides
        .ok()
        .and_then(|sides| <[usize; 3]>::try_from(sides).ok());
    let input = input.ok_or_else(|| {
        Failure::Usage(format!(
            "--input is `{}`, expected channels x height x width such as 3x32x32",
            args.input
        ))
    })?;
    let tree = args
        .class_tree
        .as_deref()
        .map(ClassTree::read)
        .transpose()?;
    let classes = tree.as_ref().map(ClassTree::classes);
    let num_classes = classes.as_ref().map_or(args.num_classes, Vec::len);
    let mut config = DitConfig::from_size(&args.size, input, num_classes)?;
    config.learn_sigma = args.learn_sigma;
    let matrices = match args.dense {
        true => Matrices::Dense,
        false => Matrices::Factors(args.rank_split.as_deref()),
    };
    config = matrices.shape(config)?;
    if let (Some(tree), Some(classes)) = (&tree, &classes) {
        config = config.with_superclasses(superclasses(tree, classes)?)?;
    }
    config.validate()?;
    let plan = cost::plan(&config);
    let [whole, recomputing] = [false, true].map(|how| cost::step_bytes(&config, args.batch, how));
    if whole == u64::MAX {
        return Err(Failure::Usage(format!(
            "--batch is {}, and a step of so many images takes more than 2^64 bytes: ask for fewer",
            args.batch
        )));
    }
    let step = serde_json::json!({
        "batch": args.batch, "bytes": whole, "bytes_recomputing": recomputing,
    });
    output::json(&serde_json::json!({ "model": config, "step": step }));
    print(&plan);
    output::say(&format!(
        "a training step with {} images on the CPU: about {} MiB at once, {} MiB with train.recompute=true",
        args.batch,
        whole >> 20,
        recomputing >> 20
    ));
    Ok(())
}

/// The cost of each part and in total; parts that a model lacks are left out.
pub(super) fn print(plan: &Plan) {
    output::json(&serde_json::json!({ "cost": plan }));
    output::table(
        &["component", "parameters", "MACs per image", "bytes"],
        &rows(plan),
    );
    output::say(&format!(
        "training state: {} bytes; activations: about {} bytes per image",
        plan.training_state_bytes, plan.activation_bytes_per_image
    ));
}

/// Name, parameters, MACs for an image and bytes of each part that there is.
pub fn rows(plan: &Plan) -> Vec<Vec<String>> {
    let parts = [
        ("learngene", &plan.learngene),
        ("one tailor", &plan.tailor),
        (&all_tailors(plan), &plan.tailors),
        ("dense projections", &plan.dense),
        ("attention products", &plan.attention),
        ("adapters", &plan.adapters),
        ("everything else", &plan.rest),
        ("learngene alone, in all", &plan.learngene_only),
        ("total", &plan.total),
    ];
    let there = parts
        .into_iter()
        .filter(|(_, cost)| **cost != Cost::default());
    there.map(|(name, cost)| row(name, cost)).collect()
}

/// How many of them run for an image.
fn all_tailors(plan: &Plan) -> String {
    match plan.tailors.macs.checked_div(plan.tailor.macs) {
        None | Some(1) => "all tailors (one runs)".into(),
        Some(count) => format!("all tailors ({count} run)"),
    }
}

fn row(name: &str, cost: &Cost) -> Vec<String> {
    let numbers = [cost.parameters, cost.macs, cost.bytes].map(|n| n.to_string());
    [name.to_owned()].into_iter().chain(numbers).collect()
}

/// The cost of the tailors alone.
pub(super) fn print_tailors(plan: &Plan) {
    output::json(&serde_json::json!({ "cost": plan }));
    let rows = [
        row("one tailor", &plan.tailor),
        row(&all_tailors(plan), &plan.tailors),
    ];
    output::table(
        &["component", "parameters", "MACs per image", "bytes"],
        &rows,
    );
}
