//! Parameters by name: the layout a configuration implies, and reading, replacing and freezing those of a model.

use crate::{
    config::{AdaLn, DitConfig, Prompts},
    embed::TIME_FEATURES,
    error::{Error, Result},
};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};
use std::collections::BTreeMap;

/// Shapes by parameter name.
pub type Layout = BTreeMap<String, Vec<usize>>;

/// A parameter's shape and values, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// Shape.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f32>,
}

/// What a parameter belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Components shared by all classes.
    Learngene,
    /// Components of the tailors.
    Tailors,
    /// Rows of the label embedding.
    Labels,
    /// What terms, bottlenecks and prompts add.
    Adapters,
    /// What terms keep of the weights they start from; it never trains.
    Fixed,
    /// Biases, those of the adaptive norms among them.
    Biases,
    /// Everything else: adaLN, embeddings, dense matrices, output.
    Rest,
}

impl Part {
    /// The part a parameter of that name belongs to.
    pub fn of(name: &str) -> Self {
        if name.contains(".learngene.") {
            Self::Learngene
        } else if name.contains(".tailors.") {
            Self::Tailors
        } else if name == "label.table" {
            Self::Labels
        } else if name.contains(".term.fixed.") {
            Self::Fixed
        } else if [".term.", ".bottleneck.", ".prompt."]
            .iter()
            .any(|added| name.contains(added))
            || name.starts_with("prompt_gate.")
        {
            Self::Adapters
        } else if name.ends_with(".bias") || name.ends_with(".modulation.table") {
            Self::Biases
        } else {
            Self::Rest
        }
    }
}

/// The projections of block `l`: name, inputs, outputs.
pub(crate) fn projections(config: &DitConfig) -> [(&'static str, usize, usize); 6] {
    let (d, hidden) = (config.hidden, config.mlp_hidden());
    [
        ("attention.q", d, d),
        ("attention.k", d, d),
        ("attention.v", d, d),
        ("attention.o", d, d),
        ("mlp.input", d, hidden),
        ("mlp.output", hidden, d),
    ]
}

/// Name and shape of every parameter of a model of that configuration.
pub fn layout(config: &DitConfig) -> Layout {
    let d = config.hidden;
    let mut layout = Layout::new();
    let mut linear = |name: &str, n: usize, m: usize| {
        layout.insert(format!("{name}.weight"), vec![m, n]);
        layout.insert(format!("{name}.bias"), vec![m]);
    };
    linear("patches", config.patch_len(), d);
    linear("time.input", TIME_FEATURES, d);
    linear("time.output", d, d);
    linear("final_modulation", d, 2 * d);
    linear(
        "output",
        d,
        config.patch * config.patch * config.out_channels(),
    );
    match config.adaln {
        AdaLn::Shared => linear("modulation", d, 6 * d),
        AdaLn::PerBlock => {
            (0..config.depth)
                .for_each(|l| linear(&format!("blocks.{l}.modulation.linear"), d, 6 * d));
        }
    }
    if config.bottleneck > 0 {
        (0..config.depth).for_each(|l| {
            linear(&format!("blocks.{l}.bottleneck.down"), d, config.bottleneck);
            linear(&format!("blocks.{l}.bottleneck.up"), config.bottleneck, d);
        });
    }
    let t = config.tokens();
    if config.prompts == Prompts::Gated {
        linear("prompt_gate.condition", d, t);
        layout.insert("prompt_gate.depth".into(), vec![t]);
    }
    layout.insert("label.table".into(), vec![config.num_classes + 1, d]);
    for l in 0..config.depth {
        if config.prompts != Prompts::None {
            layout.insert(format!("blocks.{l}.prompt.tokens"), vec![t, d]);
        }
        if config.adaln == AdaLn::Shared {
            layout.insert(format!("blocks.{l}.modulation.table"), vec![6 * d]);
        }
        for (site, n, m) in projections(config) {
            let name = format!("blocks.{l}.{site}");
            if let Some(form) = config.form_at(site) {
                let parameters = form.shapes(m, n).into_iter();
                layout.extend(parameters.map(|(p, s)| (format!("{name}.weight.term.{p}"), s)));
            }
            let mut components = |part: &str, r: usize| {
                layout.insert(format!("{name}.{part}.u"), vec![r, m]);
                layout.insert(format!("{name}.{part}.s"), vec![r]);
                layout.insert(format!("{name}.{part}.v"), vec![r, n]);
            };
            let learngene = config.basis_of(n, m).rank();
            if let Some(rank) = learngene {
                components("learngene", rank);
            }
            if config.tailor_rank > 0 {
                components("tailors", config.tailor_rank * config.groups);
            }
            if learngene.is_none() {
                layout.insert(format!("{name}.weight"), vec![m, n]);
            }
            layout.insert(format!("{name}.bias"), vec![m]);
        }
    }
    layout
}

/// Parameters of a model of that configuration. A number of any size, as long as the sides of each matrix are small enough
/// to be multiplied by small factors.
pub(crate) fn count(config: &DitConfig) -> u128 {
    let of_one = |shape: &Vec<usize>| shape.iter().map(|side| *side as u128).product::<u128>();
    layout(config).values().map(of_one).sum()
}

/// Segments of the path of the parameter being visited; enum variants leave no trace in a name.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.push(name.into());
        }
    }

    fn exit(&mut self, container: &str) {
        if !container.starts_with("Enum:") {
            self.0.pop();
        }
    }

    fn name(&self) -> String {
        self.0.join(".")
    }
}

/// What to do with a parameter: it is handed over, so that its memory can be written to, and may be replaced.
pub trait Edit {
    /// Called for every parameter in the model's order.
    fn edit<const D: usize>(&mut self, name: &str, value: Tensor<D>) -> Tensor<D>;
}

/// Runs an edit over every parameter; what is replaced stays trainable or frozen as it was.
pub fn edit<M: Module, E: Edit>(model: M, editor: &mut E) -> M {
    struct Mapper<'a, E> {
        path: Path,
        editor: &'a mut E,
    }
    impl<E: Edit> ModuleMapper for Mapper<'_, E> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.path.exit(container);
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let (id, value, mapper) = param.consume();
            let tracked = value.is_require_grad();
            let value = self.editor.edit(&self.path.name(), value).detach();
            let value = value.set_require_grad(tracked);
            Param::from_mapped_value(id, value, mapper).set_require_grad(tracked)
        }
    }
    model.map(&mut Mapper {
        path: Path::default(),
        editor,
    })
}

/// Calls `f` with the name and tensor of every parameter.
pub trait Visit {
    /// Called for every parameter in the model's order.
    fn visit<const D: usize>(&mut self, name: &str, value: &Tensor<D>);
}

/// Runs a visit over every parameter.
pub fn visit<M: Module, V: Visit>(model: &M, visitor: &mut V) {
    struct Walker<'a, V> {
        path: Path,
        visitor: &'a mut V,
    }
    impl<V: Visit> ModuleVisitor for Walker<'_, V> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.path.exit(container);
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.visitor.visit(&self.path.name(), &param.val());
        }
    }
    model.visit(&mut Walker {
        path: Path::default(),
        visitor,
    });
}

/// Every parameter by name.
pub fn values<M: Module>(model: &M) -> BTreeMap<String, Values> {
    values_of(model, |_| true)
}

/// The parameters whose name the predicate accepts.
pub fn values_of<M: Module>(model: &M, accept: impl Fn(&str) -> bool) -> BTreeMap<String, Values> {
    let accepted = lent(model).into_iter().filter(|(name, _)| accept(name));
    accepted.map(|(name, lent)| (name, lent.read())).collect()
}

/// A parameter that stays where it is until its values are asked for.
pub struct Lent {
    /// Shape.
    pub shape: Vec<usize>,
    read: Box<dyn Fn() -> Vec<f32>>,
}

impl Lent {
    /// A copy of its values, row-major.
    pub fn values(&self) -> Vec<f32> {
        (self.read)()
    }

    /// A copy of it.
    pub fn read(self) -> Values {
        Values {
            values: self.values(),
            shape: self.shape,
        }
    }
}

/// Every parameter by name, none of them copied.
pub fn lent<M: Module>(model: &M) -> BTreeMap<String, Lent> {
    struct Collect(BTreeMap<String, Lent>);
    impl Visit for Collect {
        fn visit<const D: usize>(&mut self, name: &str, value: &Tensor<D>) {
            let (shape, value) = (value.dims().to_vec(), value.clone());
            let read = Box::new(move || to_vec(value.clone()));
            self.0.insert(name.into(), Lent { shape, read });
        }
    }
    let mut collect = Collect(BTreeMap::new());
    visit(model, &mut collect);
    collect.0
}

/// The values of an f32 tensor, row-major.
pub fn to_vec<const D: usize>(value: Tensor<D>) -> Vec<f32> {
    let data = value.into_data().convert::<f32>();
    #[expect(clippy::expect_used, reason = "converted to f32 in the line above")]
    data.try_into_vec().expect("f32 values")
}

/// The name of the first parameter with a value that is not finite, in the model's order.
pub fn first_not_finite<M: Module>(model: &M) -> Option<String> {
    struct Find(Option<String>);
    impl Visit for Find {
        fn visit<const D: usize>(&mut self, name: &str, value: &Tensor<D>) {
            if self.0.is_none() && to_vec(value.clone()).iter().any(|v| !v.is_finite()) {
                self.0 = Some(name.into());
            }
        }
    }
    let mut find = Find(None);
    visit(model, &mut find);
    find.0
}

/// Name and shape of every parameter it has.
pub fn shapes<M: Module>(model: &M) -> Layout {
    struct Shapes(Layout);
    impl Visit for Shapes {
        fn visit<const D: usize>(&mut self, name: &str, value: &Tensor<D>) {
            self.0.insert(name.into(), value.dims().to_vec());
        }
    }
    let mut shapes = Shapes(Layout::new());
    visit(model, &mut shapes);
    shapes.0
}

/// The model with the given parameters replaced; names it lacks and wrong shapes are listed in one error.
pub fn replace<M: Module>(model: M, new: BTreeMap<String, Values>) -> Result<M> {
    let known = shapes(&model);
    let mut faults: Vec<String> = Vec::new();
    for (name, value) in &new {
        match known.get(name) {
            None => faults.push(format!("`{name}` is not a parameter of this model")),
            Some(shape) if *shape != value.shape => {
                faults.push(format!("`{name}` is {:?}, expected {shape:?}", value.shape));
            }
            Some(shape) if shape.iter().product::<usize>() != value.values.len() => {
                faults.push(format!("`{name}` has {} values", value.values.len()));
            }
            Some(_) => {}
        }
    }
    if !faults.is_empty() {
        return Err(Error::Parameters(faults));
    }
    // What was there before goes first, so that no parameter is in memory twice.
    struct Replace(BTreeMap<String, Values>);
    impl Edit for Replace {
        fn edit<const D: usize>(&mut self, name: &str, value: Tensor<D>) -> Tensor<D> {
            let Some(new) = self.0.remove(name) else {
                return value;
            };
            let device = value.device();
            drop(value);
            Tensor::from_data(TensorData::new(new.values, new.shape), &device)
        }
    }
    Ok(edit(model, &mut Replace(new)))
}

/// The model with exactly the parameters trainable whose name the predicate accepts.
pub fn set_trainable<M: Module>(model: M, trainable: impl Fn(&str) -> bool) -> M {
    struct Mapper<F> {
        path: Path,
        trainable: F,
    }
    impl<F: Fn(&str) -> bool> ModuleMapper for Mapper<F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _: &str, container: &str) {
            self.path.exit(container);
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let on = (self.trainable)(&self.path.name());
            param.set_require_grad(on)
        }
    }
    model.map(&mut Mapper {
        path: Path::default(),
        trainable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dit, FactorInit, RankSplit};
    use burn::tensor::Device;

    fn configs() -> Vec<DitConfig> {
        let micro = DitConfig::from_size("dit-micro/4", [3, 16, 16], 3).unwrap();
        let split = RankSplit {
            learngene: 6,
            tailor: 2,
        };
        let factorised = micro.clone().with_rank_split(split).unwrap();
        let control = micro.clone().with_tailors(2).unwrap();
        let shared = DitConfig {
            adaln: AdaLn::PerBlock,
            learn_sigma: true,
            ..factorised.clone()
        };
        vec![micro, factorised, control, shared]
    }

    #[test]
    fn layout_is_what_a_model_holds() {
        for config in configs() {
            let model = Dit::init(&config, FactorInit::Orthogonal, 1, &Device::flex()).unwrap();
            let held: Layout = values(&model)
                .into_iter()
                .map(|(n, v)| (n, v.shape))
                .collect();
            assert_eq!(held, layout(&config));
        }
    }

    #[test]
    fn replaced_parameters_are_read_back_and_faults_listed_together() {
        let config = &configs()[1];
        let device = Device::flex();
        let a = Dit::init(config, FactorInit::Orthogonal, 1, &device).unwrap();
        let b = Dit::init(config, FactorInit::Svd, 2, &device).unwrap();
        assert_ne!(values(&a), values(&b));
        let a = replace(a, values(&b)).unwrap();
        assert_eq!(values(&a), values(&b));

        let mut wrong = values(&b);
        wrong.insert(
            "blocks.9.bias".into(),
            Values {
                shape: vec![1],
                values: vec![0.0],
            },
        );
        wrong.get_mut("label.table").unwrap().shape = vec![5, 96];
        let text = replace(a, wrong).unwrap_err().to_string();
        assert!(
            text.contains("blocks.9.bias") && text.contains("[4, 96]"),
            "{text}"
        );
    }
}
