//! Strict reading of the network's tensors: everything that is wrong ends up in one error.

use std::collections::BTreeSet;

use burn::tensor::{DType, Device, Shape, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::error::EvalError;

/// Tensors of a file that is being read, and what was found wrong with it so far.
pub(super) struct Weights<'a> {
    file: SafeTensors<'a>,
    device: &'a Device,
    taken: BTreeSet<String>,
    problems: Vec<String>,
}

impl<'a> Weights<'a> {
    /// Checks the header of `bytes`; no tensor is read yet.
    pub(super) fn read(bytes: &'a [u8], device: &'a Device) -> Result<Self, EvalError> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|source| EvalError::WeightsUnreadable { source })?;
        Ok(Self {
            file,
            device,
            taken: BTreeSet::new(),
            problems: Vec::new(),
        })
    }

    /// The tensor `name` as f32. If it is missing or unusable the problem is noted, zeros take its place,
    /// and [`Self::finish`] will fail.
    pub(super) fn take<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Tensor<D> {
        self.taken.insert(name.to_owned());
        let data = match self.file.tensor(name) {
            Ok(view) => decode(&view, &shape),
            Err(_) => Err("missing".to_owned()),
        };
        match data {
            Ok(data) => Tensor::from_data(data, self.device),
            Err(problem) => {
                self.problems.push(format!("'{name}' {problem}"));
                Tensor::zeros(shape, self.device)
            }
        }
    }

    /// Ends the reading: the file must have held exactly the tensors that were taken.
    pub(super) fn finish(mut self) -> Result<(), EvalError> {
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
            problems: self.problems,
        })
    }
}

fn decode(view: &TensorView<'_>, shape: &[usize]) -> Result<TensorData, String> {
    if view.shape() != shape {
        return Err(format!("has shape {:?} instead of {shape:?}", view.shape()));
    }
    let dtype = match view.dtype() {
        Dtype::F16 => DType::F16,
        Dtype::F32 => DType::F32,
        other => return Err(format!("has type {other:?} instead of F16 or F32")),
    };
    let shape = Shape::from(shape.to_vec());
    let data = TensorData::try_from_bytes_vec(view.data().to_vec(), shape, dtype)
        .and_then(TensorData::try_cast_as::<f32>)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if data.iter::<f32>().any(|value| !value.is_finite()) {
        return Err("holds a value that is not finite".to_owned());
    }
    Ok(data)
}
