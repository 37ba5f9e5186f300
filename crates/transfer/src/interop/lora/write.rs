//! Writing, as PEFT does.

use super::{CONFIG, Lora, PEFT_PREFIX, WEIGHTS, modules, transposed};
use crate::error::Result;
use crate::interop::{names::MODULES, write_folder};
use learngene_formats::TensorEntry;
use learngene_nn::DitConfig;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

impl Lora {
    /// Writes `adapter_config.json` and `adapter_model.safetensors` into a folder, which is made.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn write(&self, folder: &Path, shape: &DitConfig) -> Result<()> {
        let (rank, scale) = (self.rank, self.common_sigma());
        let mut tensors = BTreeMap::new();
        for (name, module, m, n) in modules(shape) {
            let Some(change) = self.changes.get(&name) else {
                continue;
            };
            let mut b = transposed(&change.u, rank, m);
            if scale.is_none() {
                let rows = b.chunks_exact_mut(rank);
                rows.for_each(|row| row.iter_mut().zip(&change.s).for_each(|(b, s)| *b *= s));
            }
            let mut push = |part: &str, shape: [usize; 2], values: Vec<f32>| {
                let shape = shape.to_vec();
                let name = format!("{PEFT_PREFIX}{module}.{part}.weight");
                tensors.insert(name, TensorEntry { shape, values });
            };
            push("lora_A", [rank, n], change.v.clone());
            push("lora_B", [m, rank], b);
        }
        let config = json!({
            "peft_type": "LORA",
            "base_model_name_or_path": null,
            "task_type": null,
            "inference_mode": true,
            "r": rank,
            "lora_alpha": f64::from(scale.unwrap_or(1.0)) * rank as f64,
            "lora_dropout": 0.0,
            "target_modules": MODULES.map(|(_, module)| module),
            "bias": "none",
            "fan_in_fan_out": false,
            "use_rslora": false,
            "use_dora": false,
            "modules_to_save": null,
        });
        write_folder(folder, WEIGHTS, tensors, CONFIG, &config)
    }

    /// The sigma of every component, if it is one positive number.
    fn common_sigma(&self) -> Option<f32> {
        let mut all = self.changes.values().flat_map(|c| c.s.iter().copied());
        let first = all.next().filter(|s| *s > 0.0)?;
        all.all(|s| s == first).then_some(first)
    }
}
