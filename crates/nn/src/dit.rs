//! The diffusion transformer.

use crate::{
    adaln::{Linear, modulate},
    block::{Block, Pass},
    bottleneck::Bottleneck,
    config::{AdaLn, Basis, DitConfig, Prompts, Sharing},
    embed::{LabelEmbedding, TimeEmbedding, patchify, positions, unpatchify},
    error::{Error, Result},
    gate::ClassGate,
    hook::Hook,
    init::{FactorInit, Init},
    params::{self, Part, Values},
    projection::{Form, Projection, ProjectionShape},
    prompt::{Prompt, PromptGate},
    term,
};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use learngene_kernels::{GatePlan, Mode};
use std::collections::BTreeMap;

/// What the prediction for a batch depends on besides the images.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Diffusion time of each sample, in training steps.
    pub times: Vec<f64>,
    /// Label of each sample; `None` is the null label.
    pub labels: Vec<Option<usize>>,
    /// Tailors of each sample.
    pub gate: ClassGate,
}

/// A diffusion transformer whose projections are dense or factorised.
#[derive(Module, Debug)]
pub struct Dit {
    /// `c p p -> d`.
    pub patches: Linear,
    /// Diffusion time.
    pub time: TimeEmbedding,
    /// Label.
    pub label: LabelEmbedding,
    /// `d -> 6 d` for all blocks (shared adaLN).
    pub modulation: Option<Linear>,
    /// What weighs the prompts of all blocks.
    pub prompt_gate: Option<PromptGate>,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// `d -> 2 d`: shift and scale before the output.
    pub final_modulation: Linear,
    /// `d -> p p c`.
    pub output: Linear,
    /// `[1, t, d]`: the fixed code of each token's place; no parameter, so neither trained nor stored.
    positions_1td: Tensor<3>,
    #[module(skip)]
    config: DitConfig,
    #[module(skip)]
    mode: Mode,
}

impl Dit {
    /// A model at its start, a function of the configuration and the seed.
    pub fn init(
        config: &DitConfig,
        factors: FactorInit,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        Self::start(config, &mut Init::new(seed, factors, device))
    }

    /// A model of these parameters, which are all that it has.
    ///
    /// # Errors
    /// All that are missing; or else all that are not of this model or have another shape.
    pub fn of(
        config: &DitConfig,
        parameters: BTreeMap<String, Values>,
        device: &Device,
    ) -> Result<Self> {
        let blank = Self::start(config, &mut Init::blank(device))?;
        let missing: Vec<String> = params::shapes(&blank)
            .into_keys()
            .filter(|name| !parameters.contains_key(name))
            .map(|name| format!("`{name}` is missing"))
            .collect();
        if !missing.is_empty() {
            return Err(Error::Parameters(missing));
        }
        params::replace(blank, parameters)
    }

    fn start(config: &DitConfig, init: &mut Init) -> Result<Self> {
        config.validate()?;
        let (d, device) = (config.hidden, &init.device().clone());
        let mut model = Self {
            patches: Linear::xavier(config.patch_len(), d, init),
            time: TimeEmbedding::init(d, config.time_code, init),
            label: LabelEmbedding::init(config.num_classes, d, init),
            modulation: (config.adaln == AdaLn::Shared).then(|| Linear::zeros(d, 6 * d, init)),
            prompt_gate: None,
            blocks: (0..config.depth)
                .map(|_| Block::init(config, init))
                .collect::<Result<_>>()?,
            final_modulation: Linear::zeros(d, 2 * d, init),
            output: Linear::zeros(d, config.patch * config.patch * config.out_channels(), init),
            positions_1td: positions(config, device),
            config: config.clone(),
            mode: Mode::default(),
        };
        // What is added to a model draws after all of it, so that the rest starts as it would without.
        if config.bottleneck > 0 {
            for block in &mut model.blocks {
                block.bottleneck = Some(Bottleneck::init(d, config.bottleneck, init));
            }
        }
        if config.prompts != Prompts::None {
            for block in &mut model.blocks {
                block.prompt = Some(Prompt::init(config.tokens(), d, init));
            }
        }
        if config.prompts == Prompts::Gated {
            model.prompt_gate = Some(PromptGate::init(config.tokens(), d, init));
        }
        if config.terms.is_empty() {
            return Ok(model);
        }
        Ok(model.apply_reparameterization(term::Attach { config, init }))
    }

    /// The same model, whose blocks compute in another way on the CPU: with shorter numbers, or with less memory. The way
    /// belongs to the program that runs and is in no file.
    pub fn in_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// How the blocks compute on the CPU.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The configuration.
    pub fn config(&self) -> &DitConfig {
        &self.config
    }

    /// The device of the parameters.
    pub fn device(&self) -> Device {
        self.output.weight.val().device()
    }

    /// A gate of classes as it works on this model: closed if the model has no tailors to switch on (a dense one, or one
    /// made for a single gate), with the one tailor for whom it is if classes share one, with the tailors of their
    /// superclasses if they have any, unchanged otherwise.
    pub fn fit_gate(&self, gate: ClassGate) -> ClassGate {
        let config = &self.config;
        match (config.groups, config.sharing) {
            (0, _) => ClassGate::closed(gate.len()),
            (_, Sharing::Class) if config.superclasses.is_empty() => gate,
            (_, Sharing::Class) => gate.with_superclasses(|class| config.groups_shared_by(class)),
            (_, Sharing::Labelled) => gate.shared(),
            (_, Sharing::Every) => ClassGate::one_hot(vec![Some(0); gate.len()]),
        }
    }

    /// Lays out a gate for this model's groups.
    pub fn plan(&self, gate: &ClassGate) -> Result<GatePlan> {
        gate.plan(self.config.groups)
    }

    /// The network's prediction.
    ///
    /// - images: `[b, c, h, w]`
    /// - output: `[b, c, h, w]`, or twice the channels where the variance is learned
    pub fn forward(&self, images: Tensor<4>, conditions: &Conditions) -> Result<Tensor<4>> {
        self.forward_hooked(images, conditions, &())
    }

    /// [`Self::forward`] with what the hook does at points of every block.
    pub fn forward_hooked(
        &self,
        images: Tensor<4>,
        conditions: &Conditions,
        hook: &dyn Hook,
    ) -> Result<Tensor<4>> {
        let batch = self.check(&images, conditions)?;
        let plan = self.plan(&conditions.gate)?;
        let (config, device) = (&self.config, images.device());
        let (t, d) = (config.tokens(), config.hidden);
        let null = config.null_label();
        let labels: Vec<usize> = conditions
            .labels
            .iter()
            .map(|l| l.unwrap_or(null))
            .collect();

        let condition = learngene_kernels::silu(
            self.time.forward(&conditions.times, &device) + self.label.forward(&labels, &device),
        );
        let shared = self
            .modulation
            .as_ref()
            .map(|m| m.forward(condition.clone()));
        let weigher = self.prompt_gate.as_ref();
        let prompts = weigher.map(|gate| gate.forward(condition.clone()));
        let tokens = self
            .patches
            .forward(patchify(images, config.patch))
            .reshape([batch, t, d]);
        let mut x = tokens + self.positions_1td.clone();
        let pass = Pass {
            condition: &condition,
            shared: shared.as_ref(),
            prompts: weigher.zip(prompts.as_ref()),
            plan: &plan,
            mode: self.mode,
            hook,
        };
        for (number, block) in self.blocks.iter().enumerate() {
            x = block.forward(number, x, &pass);
        }
        let two = self.final_modulation.forward(condition);
        let shift = two.clone().slice([0..batch, 0..d]);
        let scale = two.slice([0..batch, d..2 * d]);
        let out = self
            .output
            .forward(modulate(x, shift, scale).reshape([batch * t, d]));
        Ok(unpatchify(
            out,
            config.patch,
            [config.out_channels(), config.input[1], config.input[2]],
        ))
    }

    /// The same model for samples that all share one gate, a list of groups as [`Self::fit_gate`] makes, its projections
    /// in that form (the cheapest by default), its terms worked into the weights.
    ///
    /// Its own gate is always closed. Computes the new matrices once, so it pays over many forward passes. Its
    /// configuration tells what each projection became; [`DitConfig::validate`] refuses it if the side-by-side form was
    /// forced on more components than the matrices have rows.
    pub fn specialise(&self, list: &[(usize, f32)], form: Option<Form>) -> Result<Self> {
        self.plan(&ClassGate::new(vec![list.to_vec()]))?;
        let blocks: Vec<Block> = self
            .blocks
            .iter()
            .map(|b| b.specialise(list, self.config.groups, form))
            .collect();
        let mut config = self.config.clone();
        (config.tailor_rank, config.groups, config.sharing) = (0, 0, Sharing::Class);
        config.superclasses.clear();
        config.terms.clear();
        if let Some(block) = blocks.first() {
            // the form follows the shape, and shapes are the same in every block
            config.basis = basis_of(&block.mlp.input);
            let attention = basis_of(&block.attention.q);
            config.attention_basis = (attention != config.basis).then_some(attention);
        }
        Ok(Self {
            blocks,
            config,
            ..self.clone()
        })
    }

    /// The model with the tailors of `groups` only, which its gate counts in that order and no longer as classes and
    /// superclasses. Everything else is shared; the tailors are copied, and train if they did.
    ///
    /// # Errors
    /// A group that the model does not have.
    pub fn of_groups(&self, groups: &[usize]) -> Result<Self> {
        struct Choose {
            rows: Tensor<1, Int>,
        }
        impl params::Edit for Choose {
            fn edit<const D: usize>(&mut self, name: &str, value: Tensor<D>) -> Tensor<D> {
                match Part::of(name) {
                    Part::Tailors => value.detach().select(0, self.rows.clone()),
                    _ => value,
                }
            }
        }
        self.plan(&ClassGate::one_hot(groups.iter().copied().map(Some)))?;
        let rank = self.config.tailor_rank;
        let rows = groups.iter().flat_map(|g| g * rank..(g + 1) * rank);
        let rows: Vec<i64> = rows.map(|row| row as i64).collect();
        let rows = Tensor::from_data(TensorData::from(rows.as_slice()), &self.device());
        let mut model = params::edit(self.clone(), &mut Choose { rows });
        model.config.groups = groups.len();
        model.config.superclasses.clear();
        Ok(model)
    }

    /// The model with the first `count` learngene components of every matrix only. They are copied, and train if they did.
    ///
    /// # Errors
    /// A dense model, or other numbers than 1 to as many as there are.
    pub fn of_components(&self, count: usize) -> Result<Self> {
        struct Cut(usize);
        impl params::Edit for Cut {
            fn edit<const D: usize>(&mut self, name: &str, value: Tensor<D>) -> Tensor<D> {
                match Part::of(name) {
                    Part::Learngene => value.detach().narrow(0, 0, self.0),
                    _ => value,
                }
            }
        }
        let most = self.config.learngene_rank().unwrap_or(0);
        if !(1..=most).contains(&count) {
            return Err(Error::Input {
                what: "learngene components",
                expected: format!("1 to {most}"),
                found: count.to_string(),
            });
        }
        let mut model = params::edit(self.clone(), &mut Cut(count));
        model.config.basis = Basis::Factorised { learngene: count };
        Ok(model)
    }

    /// The same model with that many labels besides the null label, for a label table to match.
    pub(crate) fn with_classes(&self, num_classes: usize) -> Self {
        let mut model = self.clone();
        model.config.num_classes = num_classes;
        model
    }

    fn check(&self, images: &Tensor<4>, conditions: &Conditions) -> Result<usize> {
        let [batch, c, h, w] = images.dims();
        let fail = |what, expected: String, found: String| {
            Err(Error::Input {
                what,
                expected,
                found,
            })
        };
        if [c, h, w] != self.config.input {
            return fail(
                "image shape",
                format!("{:?}", self.config.input),
                format!("{:?}", [c, h, w]),
            );
        }
        for (what, len) in [
            ("times", conditions.times.len()),
            ("labels", conditions.labels.len()),
            ("gates", conditions.gate.len()),
        ] {
            if len != batch {
                return fail(what, format!("{batch}, one per image"), len.to_string());
            }
        }
        let classes = self.config.num_classes;
        if let Some(label) = conditions.labels.iter().flatten().find(|&&l| l >= classes) {
            return fail("label", format!("below {classes}"), label.to_string());
        }
        Ok(batch)
    }
}

fn basis_of(projection: &Projection) -> Basis {
    match projection {
        Projection::Dense(_) => Basis::Dense,
        Projection::Factorised(p) => Basis::Factorised {
            learngene: p.learngene.rank(),
        },
    }
}

impl DitConfig {
    pub(crate) fn projection(&self, inputs: usize, outputs: usize) -> ProjectionShape {
        ProjectionShape {
            inputs,
            outputs,
            basis: self.basis_of(inputs, outputs),
            tailor_rank: self.tailor_rank,
            groups: self.groups,
            switched_on: self.switched_on(),
        }
    }
}
