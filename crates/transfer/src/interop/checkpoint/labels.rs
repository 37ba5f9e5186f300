//! The row of "no class" in a label table. DiT has one only if labels were dropped in training.

use crate::interop::Remark;
use learngene_formats::TensorEntry;
use std::collections::BTreeMap;

/// Gives the table a row of "no class" where it has as many rows as there are classes: their mean, which no training saw.
pub(super) fn with_null_row(
    tensors: &mut BTreeMap<String, TensorEntry>,
    name: &str,
    classes: Option<usize>,
) -> Option<Remark> {
    let table = tensors.get_mut(name)?;
    let (&[rows, width], Some(classes)) = (&table.shape[..], classes) else {
        return None;
    };
    if rows != classes || width == 0 || rows == 0 {
        return None;
    }
    let mean = (0..width).map(|column| {
        let sum: f64 = table
            .values
            .iter()
            .skip(column)
            .step_by(width)
            .map(|&v| f64::from(v))
            .sum();
        (sum / rows as f64) as f32
    });
    let mean: Vec<f32> = mean.collect();
    table.values.extend(mean);
    table.shape[0] += 1;
    Some(Remark::Warning(format!(
        "its label table has {rows} rows for {rows} classes and none for \"no class\", as it was trained without dropping labels: \
         that row is the mean of the others, so draw with --guidance 1 until it has been trained"
    )))
}
