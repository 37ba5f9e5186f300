//! Which of our parameters make up a tensor of another program.

use crate::error::{Error, Result};
use learngene_formats::{Mismatch, TensorEntry};
use learngene_nn::{
    DitConfig,
    params::{self, Values},
};
use learngene_train::weights::Parameters;
use std::collections::BTreeMap;
use std::path::Path;

/// The six matrices of a block, and the modules of diffusers' block that they are.
pub(super) const MODULES: [(&str, &str); 6] = [
    ("attention.q", "attn1.to_q"),
    ("attention.k", "attn1.to_k"),
    ("attention.v", "attn1.to_v"),
    ("attention.o", "attn1.to_out.0"),
    ("mlp.input", "ff.net.0.proj"),
    ("mlp.output", "ff.net.2"),
];

/// A tensor of another program.
struct Foreign {
    name: String,
    shape: Vec<usize>,
    /// Our parameters that it holds, one below the other.
    of: Vec<String>,
}

/// All tensors of a model in another program.
pub(super) struct Names(Vec<Foreign>);

impl Names {
    /// Of a dense model with one adaLN matrix a block, in diffusers. There each block has an embedding of time and
    /// label of its own, all alike.
    pub fn diffusers(config: &DitConfig) -> Self {
        let (d, hidden) = (config.hidden, config.mlp_hidden());
        let mut names = Self(Vec::new());
        names.patches("pos_embed.proj", config);
        for l in 0..config.depth {
            let block = format!("transformer_blocks.{l}");
            let ours = |name: &str| format!("blocks.{l}.{name}");
            let time = format!("{block}.norm1.emb.timestep_embedder");
            let features = params::layout(config)["time.input.weight"][1];
            names.linear(&format!("{time}.linear_1"), ["time.input"], [d, features]);
            names.linear(&format!("{time}.linear_2"), ["time.output"], [d, d]);
            let table = format!("{block}.norm1.emb.class_embedder.embedding_table.weight");
            names.labels(table, config);
            let modulation = ours("modulation.linear");
            names.linear(&format!("{block}.norm1.linear"), [&modulation], [6 * d, d]);
            for (site, module) in MODULES {
                let shape = match site {
                    "mlp.input" => [hidden, d],
                    "mlp.output" => [d, hidden],
                    _ => [d, d],
                };
                names.linear(&format!("{block}.{module}"), [&ours(site)], shape);
            }
        }
        names.linear("proj_out_1", ["final_modulation"], [2 * d, d]);
        names.output("proj_out_2", config);
        names
    }

    /// Of the same model in the published DiT checkpoints, its fixed positions aside.
    pub fn dit(config: &DitConfig) -> Self {
        let (d, hidden) = (config.hidden, config.mlp_hidden());
        let mut names = Self(Vec::new());
        names.patches("x_embedder.proj", config);
        let features = params::layout(config)["time.input.weight"][1];
        names.linear("t_embedder.mlp.0", ["time.input"], [d, features]);
        names.linear("t_embedder.mlp.2", ["time.output"], [d, d]);
        names.labels("y_embedder.embedding_table.weight".into(), config);
        for l in 0..config.depth {
            let block = format!("blocks.{l}");
            let [q, k, v, o, input, output, modulation] = [
                "attention.q",
                "attention.k",
                "attention.v",
                "attention.o",
                "mlp.input",
                "mlp.output",
                "modulation.linear",
            ]
            .map(|name| format!("{block}.{name}"));
            names.linear(&format!("{block}.attn.qkv"), [&q, &k, &v], [3 * d, d]);
            names.linear(&format!("{block}.attn.proj"), [&o], [d, d]);
            names.linear(&format!("{block}.mlp.fc1"), [&input], [hidden, d]);
            names.linear(&format!("{block}.mlp.fc2"), [&output], [d, hidden]);
            let adaln = format!("{block}.adaLN_modulation.1");
            names.linear(&adaln, [&modulation], [6 * d, d]);
        }
        let modulation = "final_layer.adaLN_modulation.1";
        names.linear(modulation, ["final_modulation"], [2 * d, d]);
        names.output("final_layer.linear", config);
        names
    }

    fn push(&mut self, name: String, shape: &[usize], of: Vec<String>) {
        let shape = shape.to_vec();
        self.0.push(Foreign { name, shape, of });
    }

    /// A layer made of some of ours side by side in their outputs.
    fn linear<const N: usize>(&mut self, name: &str, of: [impl AsRef<str>; N], [m, n]: [usize; 2]) {
        let all = |part: &str| {
            of.iter()
                .map(|o| format!("{}.{part}", o.as_ref()))
                .collect()
        };
        self.push(format!("{name}.weight"), &[m, n], all("weight"));
        self.push(format!("{name}.bias"), &[m], all("bias"));
    }

    /// The layer that takes patches, there a convolution.
    fn patches(&mut self, name: &str, config: &DitConfig) {
        let (d, p) = (config.hidden, config.patch);
        let weight = vec!["patches.weight".into()];
        self.push(
            format!("{name}.weight"),
            &[d, config.input[0], p, p],
            weight,
        );
        self.push(format!("{name}.bias"), &[d], vec!["patches.bias".into()]);
    }

    fn labels(&mut self, name: String, config: &DitConfig) {
        let shape = [config.num_classes + 1, config.hidden];
        self.push(name, &shape, vec!["label.table".into()]);
    }

    fn output(&mut self, name: &str, config: &DitConfig) {
        let m = config.patch * config.patch * config.out_channels();
        self.linear(name, ["output"], [m, config.hidden]);
    }

    /// The tensors of a model with those parameters.
    ///
    /// # Errors
    /// A parameter that is not there.
    pub fn write(&self, values: &Parameters) -> Result<BTreeMap<String, TensorEntry>> {
        let mut tensors = BTreeMap::new();
        for Foreign { name, shape, of } in &self.0 {
            let mut all = Vec::with_capacity(shape.iter().product());
            for ours in of {
                let lacks =
                    || learngene_nn::Error::Parameters(vec![format!("`{ours}` is missing")]);
                all.extend_from_slice(&values.get(ours).ok_or_else(lacks)?.values);
            }
            let entry = TensorEntry {
                shape: shape.clone(),
                values: all,
            };
            tensors.insert(name.clone(), entry);
        }
        Ok(tensors)
    }

    /// The parameters of a model of that configuration from exactly these tensors, read from `path`.
    ///
    /// # Errors
    /// Missing, unexpected and mis-shaped tensors in one error; copies of one parameter that are not alike.
    pub fn read(
        &self,
        mut tensors: BTreeMap<String, TensorEntry>,
        config: &DitConfig,
        path: &Path,
    ) -> Result<Parameters> {
        let shapes = self.0.iter().map(|f| (f.name.clone(), f.shape.clone()));
        Mismatch::between(&tensors, &shapes.collect()).refuse(path)?;
        let layout = params::layout(config);
        let mut parameters = Parameters::new();
        for Foreign { name, of, .. } in &self.0 {
            let mut rest = tensors.remove(name).map(|t| t.values).unwrap_or_default();
            for ours in of {
                let shape = layout.get(ours).cloned().unwrap_or_default();
                let after = rest.split_off(shape.iter().product::<usize>().min(rest.len()));
                let value = Values {
                    shape,
                    values: std::mem::replace(&mut rest, after),
                };
                match parameters.get(ours) {
                    Some(known) if !same_bits(&known.values, &value.values) => {
                        return Err(Error::Import {
                            path: path.into(),
                            reason: format!(
                                "`{name}` differs from the same tensor of another block: DiT has one for all blocks"
                            ),
                        });
                    }
                    _ => parameters.insert(ours.clone(), value),
                };
            }
        }
        Ok(parameters)
    }
}

fn same_bits(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
}
