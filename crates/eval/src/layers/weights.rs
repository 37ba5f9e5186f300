//! Strict reading of the network's tensors: everything that is wrong ends up in one error.

use std::collections::BTreeSet;

use half::f16;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::error::EvalError;

/// Tensors of a file that is being read, and what was found wrong with it so far.
pub(crate) struct Weights<'a> {
    file: SafeTensors<'a>,
    taken: BTreeSet<String>,
    problems: Vec<String>,
    network: &'static str,
}

impl<'a> Weights<'a> {
    /// Checks the header of `bytes`, which should hold `network`; no tensor is read yet.
    pub(crate) fn read(bytes: &'a [u8], network: &'static str) -> Result<Self, EvalError> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|source| EvalError::WeightsUnreadable { source })?;
        Ok(Self {
            file,
            taken: BTreeSet::new(),
            problems: Vec::new(),
            network,
        })
    }

    /// The values of tensor `name`. If it is missing or unusable the problem is noted, no values take its place, so that
    /// a small file takes little memory, and [`Self::finish`] will fail.
    pub(crate) fn take(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        self.taken.insert(name.to_owned());
        let values = match self.file.tensor(name) {
            Ok(view) => decode(&view, shape),
            Err(_) => Err("missing".to_owned()),
        };
        values.unwrap_or_else(|problem| {
            self.problems.push(format!("'{name}' {problem}"));
            Vec::new()
        })
    }

    /// Like [`Self::take`], for a matrix `[out, in]` of which the transpose `[in, out]` is needed.
    pub(crate) fn take_transposed(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        let values = self.take(name, shape);
        let columns = values.len() / shape[0];
        (0..columns)
            .flat_map(|column| values.iter().skip(column).step_by(columns).copied())
            .collect()
    }

    /// Like [`Self::take`], for values of which none may be below 0.
    pub(crate) fn take_variance(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        let values = self.take(name, shape);
        if values.iter().any(|&value| value < 0.0) {
            self.problems
                .push(format!("'{name}' holds a value below 0"));
        }
        values
    }

    /// Lets a tensor be there or not.
    pub(crate) fn pass_over(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// Ends the reading: the file must have held exactly the tensors that were taken.
    pub(crate) fn finish(mut self) -> Result<(), EvalError> {
        let unexpected = self
            .file
            .names()
            .into_iter()
            .filter(|&name| !self.taken.contains(name));
        let unexpected: BTreeSet<String> = unexpected
            .map(|name| format!("'{name}' unexpected"))
            .collect();
        self.problems.extend(unexpected);
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(EvalError::WeightsMismatch {
            network: self.network,
            problems: self.problems,
        })
    }
}

fn decode(view: &TensorView<'_>, shape: &[usize]) -> Result<Vec<f32>, String> {
    if view.shape() != shape {
        return Err(format!("has shape {:?} instead of {shape:?}", view.shape()));
    }
    let values: Vec<f32> = match view.dtype() {
        Dtype::F16 => view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| f16::from_le_bytes(b).to_f32())
            .collect(),
        Dtype::F32 => view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect(),
        other => return Err(format!("has type {other:?} instead of F16 or F32")),
    };
    if values.iter().any(|value| !value.is_finite()) {
        return Err("holds a value that is not finite".to_owned());
    }
    Ok(values)
}
