//! Strict reading of the network's tensors: everything that is wrong ends up in one error.

use std::collections::BTreeSet;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::error::EvalError;

/// Tensors of a file that is being read, and what was found wrong with it so far.
pub(super) struct Weights<'a> {
    file: SafeTensors<'a>,
    taken: BTreeSet<String>,
    problems: Vec<String>,
}

impl<'a> Weights<'a> {
    /// Checks the header of `bytes`; no tensor is read yet.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, EvalError> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|source| EvalError::WeightsUnreadable { source })?;
        Ok(Self {
            file,
            taken: BTreeSet::new(),
            problems: Vec::new(),
        })
    }

    /// The values of tensor `name`. If it is missing or unusable the problem is noted, zeros take its place,
    /// and [`Self::finish`] will fail.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        self.taken.insert(name.to_owned());
        let values = match self.file.tensor(name) {
            Ok(view) => decode(&view, shape),
            Err(_) => Err("missing".to_owned()),
        };
        values.unwrap_or_else(|problem| {
            self.problems.push(format!("'{name}' {problem}"));
            vec![0.0; shape.iter().product()]
        })
    }

    /// Like [`Self::take`], for a matrix `[out, in]` of which the transpose `[in, out]` is needed.
    pub(super) fn take_transposed(&mut self, name: &str, shape: &[usize]) -> Vec<f32> {
        let values = self.take(name, shape);
        let columns = values.len() / shape[0];
        (0..columns)
            .flat_map(|column| values.iter().skip(column).step_by(columns).copied())
            .collect()
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
            .map(|&b| from_half(u16::from_le_bytes(b)))
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

/// The value of an IEEE 754 binary16: 1 bit sign, 5 bits exponent (bias 15), 10 bits fraction.
fn from_half(bits: u16) -> f32 {
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2_f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::from_half;

    /// Values of the format's definition: one, least subnormal, least normal, largest.
    #[test]
    fn half_precision_is_decoded_exactly() {
        assert_eq!(from_half(0x3c00), 1.0);
        assert_eq!(from_half(0xc000), -2.0);
        assert_eq!(from_half(0x0001), 2.0_f32.powi(-24));
        assert_eq!(from_half(0x0400), 2.0_f32.powi(-14));
        assert_eq!(from_half(0x7bff), 65504.0);
        assert_eq!(from_half(0x3555), 0.333_251_95);
        assert!(from_half(0x7c00).is_infinite() && from_half(0x7e00).is_nan());
    }
}
