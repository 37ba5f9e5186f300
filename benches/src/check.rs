//! Whether a PyTorch peer does the same work: its output and gradients for our weights and inputs.

use crate::Result;
use crate::contender::{Attention, describe};
use crate::options::Options;
use crate::workload::Workload;
use burn::tensor::{Device, Tensor, TensorData};
use learngene_data::{Purpose, Stream};
use learngene_nn::params::{self, Values, Visit};
use learngene_nn::{ClassGate, Conditions, Dit, FactorInit};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Largest difference, relative to the largest value of the tensor: what rounding in f32 leaves.
const TOLERANCE: f64 = 1e-4;
/// Samples compared.
const BATCH: usize = 6;
/// Times compared, one for each sample.
const TIMES: [f64; BATCH] = [0.0, 17.0, 250.0, 499.0, 731.0, 999.0];
/// Added to every weight: at its start a model's output is zero.
const NOISE: f32 = 0.05;

/// What a peer answers.
#[derive(Debug, Deserialize)]
struct Apart {
    output: f64,
    gradient: f64,
}

/// Compares both attentions of the peer with ours; one line for each.
///
/// # Errors
/// More than [`TOLERANCE`] apart.
pub fn check(workload: &Workload, options: &Options) -> Result<Vec<String>> {
    let dataset = workload.load()?;
    let config = workload.model(&dataset, false)?;
    let device = Device::flex().autodiff();
    let model = disturbed(Dit::init(&config, FactorInit::default(), 1, &device)?)?;
    let file = tempfile::Builder::new().suffix(".safetensors").tempfile()?;
    write(file.path(), &values(&model)?)?;
    let mut lines = Vec::new();
    for attention in [Attention::Sdpa, Attention::Bmm] {
        let mut command = describe(&config, Some(attention), options)?;
        let output = command.arg("--check").arg(file.path()).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let apart: Apart = serde_json::from_slice(&output.stdout)?;
        let line = format!(
            "{}, {attention:?}: output {:.1e} apart, gradients {:.1e}",
            workload.name, apart.output, apart.gradient
        );
        // written so that NaN fails
        if !(apart.output <= TOLERANCE && apart.gradient <= TOLERANCE) {
            return Err(format!("{line}; expected at most {TOLERANCE:.0e}").into());
        }
        lines.push(line);
    }
    Ok(lines)
}

/// The model with random numbers added to every weight.
fn disturbed(model: Dit) -> Result<Dit> {
    let mut values = params::values(&model);
    for (number, value) in values.values_mut().enumerate() {
        let mut stream = Stream::new(1, number as u64, Purpose::Test);
        let each = value.values.iter_mut();
        each.for_each(|v| *v += NOISE * stream.normal() as f32);
    }
    Ok(params::replace(model, values)?)
}

/// Weights, inputs, and what comes of them, by name.
fn values(model: &Dit) -> Result<BTreeMap<String, Values>> {
    let config = model.config();
    let [c, h, w] = config.input;
    let shape = [BATCH, c, h, w];
    let mut images = vec![0.0; shape.iter().product()];
    Stream::new(2, 0, Purpose::Test).fill_normal(&mut images);
    // two samples of one class, three of others, and the null label
    let label = |i: usize| (i + 1 < BATCH).then_some(i.saturating_sub(1) % config.num_classes);
    let labels: Vec<Option<usize>> = (0..BATCH).map(label).collect();
    let numbers = labels.iter().map(|l| l.unwrap_or(config.null_label()));
    let row = |values: Vec<f32>| Values {
        shape: vec![BATCH],
        values,
    };
    let mut all = params::values(model);
    all.insert(
        "input.labels".into(),
        row(numbers.map(|n| n as f32).collect()),
    );
    all.insert("input.times".into(), row(TIMES.map(|t| t as f32).into()));
    let conditions = Conditions {
        times: TIMES.into(),
        gate: model.fit_gate(ClassGate::one_hot(labels.iter().copied())),
        labels,
    };
    let input = Tensor::from_data(TensorData::new(images.clone(), shape), &model.device());
    let of = |values| Values {
        shape: shape.into(),
        values,
    };
    all.insert("input.images".into(), of(images));
    let output = model.forward(input, &conditions)?;
    all.insert("output".into(), of(params::to_vec(output.clone())));
    let gradients = output.square().mean().backward();
    let mut collect = Collect {
        gradients: &gradients,
        into: &mut all,
    };
    params::visit(model, &mut collect);
    Ok(all)
}

struct Collect<'a> {
    gradients: &'a burn::tensor::Gradients,
    into: &'a mut BTreeMap<String, Values>,
}

impl Visit for Collect<'_> {
    fn visit<const D: usize>(&mut self, name: &str, value: &Tensor<D>) {
        if let Some(gradient) = value.grad(self.gradients) {
            let values = Values {
                shape: gradient.dims().into(),
                values: params::to_vec(gradient),
            };
            self.into.insert(format!("gradient.{name}"), values);
        }
    }
}

fn write(path: &Path, values: &BTreeMap<String, Values>) -> Result<()> {
    let bytes: Vec<Vec<u8>> = values
        .values()
        .map(|v| v.values.iter().flat_map(|x| x.to_le_bytes()).collect())
        .collect();
    let mut views = Vec::new();
    for ((name, value), bytes) in values.iter().zip(&bytes) {
        views.push((
            name,
            TensorView::new(Dtype::F32, value.shape.clone(), bytes)?,
        ));
    }
    std::fs::write(path, safetensors::serialize(views, None)?)?;
    Ok(())
}
