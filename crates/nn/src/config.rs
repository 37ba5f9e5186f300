//! The whole description of a model: nothing about its shape is written anywhere else.

use crate::{
    error::{Error, Result},
    params,
    superclass::{self, Superclass},
    term::TermConfig,
};
use serde::{Deserialize, Serialize};

/// How the adaptive layer norms get their shift, scale and gate from the condition vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdaLn {
    /// One matrix per block (DiT, needed for its checkpoints).
    PerBlock,
    /// One matrix shared by all blocks and a bias table per block (PixArt-alpha's adaLN-single, arXiv 2310.00426).
    Shared,
}

/// What the six projections of a block are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Ordinary weight matrices.
    Dense,
    /// `learngene` rank-one components (`N_G`), shared by every class.
    Factorised {
        /// `N_G`.
        learngene: usize,
    },
}

/// The frequencies of the sinusoidal code of a diffusion time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeCode {
    /// DiT's: 128 of them from 1, the next would be 1 / 10000.
    #[default]
    Dit,
    /// Those of diffusers' DiT: 128 from 1 to 1 / 10000, both included.
    Diffusers,
}

/// Which samples switch which tailors on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// Each class has a tailor of its own.
    #[default]
    Class,
    /// One tailor, on for every sample that switches any on: not for the null label.
    Labelled,
    /// One tailor, on for every sample.
    Every,
}

/// What is added to the tokens at the input of each block (DMP, Ham et al., arXiv 2405.17825).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prompts {
    /// Nothing.
    #[default]
    None,
    /// The block's prompt, a vector for each token.
    Plain,
    /// The same, each vector times a weight that depends on the condition and on the block.
    Gated,
}

/// The rank split `(N_G, N_T)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankSplit {
    /// `N_G`: components of the learngene in every matrix.
    pub learngene: usize,
    /// `N_T`: components of one tailor in every matrix.
    pub tailor: usize,
}

impl RankSplit {
    /// That of a width if nothing else is said: half of it for the learngene, a 24th for a tailor; 96,8 for 192.
    pub fn of_width(hidden: usize) -> Self {
        Self {
            learngene: (hidden / 2).max(1),
            tailor: (hidden / 24).max(1),
        }
    }
}

impl std::str::FromStr for RankSplit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::Config {
            field: "rank split",
            found: format!("`{text}`"),
            expected: "N_G,N_T: two whole numbers such as 96,8".into(),
        };
        let (learngene, tailor) = text.split_once(',').ok_or_else(bad)?;
        Ok(Self {
            learngene: learngene.trim().parse().map_err(|_| bad())?,
            tailor: tailor.trim().parse().map_err(|_| bad())?,
        })
    }
}

impl std::fmt::Display for RankSplit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{}", self.learngene, self.tailor)
    }
}

/// A diffusion transformer with adaLN-Zero (Peebles & Xie, arXiv 2212.09748).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DitConfig {
    /// Input as `[channels, height, width]`, pixels or latents.
    pub input: [usize; 3],
    /// Side of a square patch in pixels.
    pub patch: usize,
    /// Width `d` of a token.
    pub hidden: usize,
    /// Number of blocks `L`.
    pub depth: usize,
    /// Attention heads; must divide `hidden`.
    pub heads: usize,
    /// Hidden units of the MLP over `hidden`.
    pub mlp_ratio: usize,
    /// Classes, without the null class, which is label `num_classes`.
    pub num_classes: usize,
    /// Where shift, scale and gate come from.
    pub adaln: AdaLn,
    /// Whether the output has a second half of channels for the variance.
    pub learn_sigma: bool,
    /// Frequencies of the code of a diffusion time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub time_code: TimeCode,
    /// What the norm before the MLP adds to the variance, where it is not [`crate::NORM_EPS`] as in DiT: diffusers' own
    /// default is 1e-5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlp_norm_eps: Option<f64>,
    /// Dense or factorised projections.
    pub basis: Basis,
    /// What attention's four square matrices are made of where that is not `basis`: merging a model for one gate can
    /// pay for them and not for the MLP's matrices. Needs an `mlp_ratio` of at least 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_basis: Option<Basis>,
    /// `N_T`: components of a tailor; 0 for a model without tailors.
    pub tailor_rank: usize,
    /// Tailors of each matrix: one per class and those of superclasses (or one in all, see `sharing`), or 0 for a model
    /// without.
    pub groups: usize,
    /// Whether classes share one tailor.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sharing: Sharing,
    /// Classes that share a tailor besides their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superclasses: Vec<Superclass>,
    /// What makes the weights of projections that are not as they are stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<TermConfig>,
    /// Width of a bottleneck behind each block; 0 for none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bottleneck: usize,
    /// What is added to the tokens at the input of each block.
    #[serde(default, skip_serializing_if = "is_default")]
    pub prompts: Prompts,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Name, hidden, depth, heads, adaLN of every size; the patch follows the slash in a full name such as `dit-b/2`.
pub const SIZES: &[(&str, usize, usize, usize, AdaLn)] = &[
    ("dit-micro", 96, 4, 3, AdaLn::Shared),
    ("dit-nano", 192, 6, 3, AdaLn::Shared),
    ("dit-s", 384, 12, 6, AdaLn::PerBlock),
    ("dit-b", 768, 12, 12, AdaLn::PerBlock),
    ("dit-l", 1024, 24, 16, AdaLn::PerBlock),
    ("dit-xl", 1152, 28, 16, AdaLn::PerBlock),
];

/// The most tokens of an image: a bound on what a stored configuration can make a program allocate.
const MAX_TOKENS: usize = 1 << 16;
/// The most blocks, for the same reason.
const MAX_DEPTH: usize = 1 << 10;
/// The largest side of a patch.
const MAX_PATCH: usize = 1 << 12;
/// The most channels, and the widest token.
const MAX_WIDTH: usize = 1 << 20;
/// The most hidden units of the MLP.
const MAX_HIDDEN_UNITS: usize = 1 << 24;
/// The most classes.
const MAX_CLASSES: usize = 1 << 30;
/// The most parameters, 1 TiB of them: few enough that no count of parameters, bytes or multiply-accumulates of a model
/// reaches 2^64.
const MAX_PARAMETERS: u64 = 1 << 38;

impl DitConfig {
    /// The size of that name (`dit-nano/4`) for an input and a number of classes: dense and without tailors.
    pub fn from_size(name: &str, input: [usize; 3], num_classes: usize) -> Result<Self> {
        let unknown = || {
            let known: Vec<String> = SIZES.iter().map(|s| format!("{}/P", s.0)).collect();
            let near = SIZES
                .iter()
                .map(|s| {
                    (
                        strsim::levenshtein(name.split('/').next().unwrap_or(name), s.0),
                        s.0,
                    )
                })
                .min();
            Error::UnknownSize {
                found: name.into(),
                known: format!("{} with a patch side P such as 2, 4 or 8", known.join(", ")),
                nearest: near
                    .filter(|n| n.0 <= 3)
                    .map(|n| format!("{}/{}", n.1, name.split_once('/').map_or("2", |p| p.1))),
            }
        };
        let (family, patch) = name.split_once('/').ok_or_else(unknown)?;
        let patch: usize = patch.parse().map_err(|_| unknown())?;
        let &(_, hidden, depth, heads, adaln) =
            SIZES.iter().find(|s| s.0 == family).ok_or_else(unknown)?;
        let config = Self {
            input,
            patch,
            hidden,
            depth,
            heads,
            mlp_ratio: 4,
            num_classes,
            adaln,
            learn_sigma: false,
            time_code: TimeCode::Dit,
            mlp_norm_eps: None,
            basis: Basis::Dense,
            attention_basis: None,
            tailor_rank: 0,
            groups: 0,
            sharing: Sharing::Class,
            superclasses: Vec::new(),
            terms: Vec::new(),
            bottleneck: 0,
            prompts: Prompts::None,
        };
        config.validate()?;
        Ok(config)
    }

    /// The same model with factorised projections and one tailor per class.
    pub fn with_rank_split(mut self, split: RankSplit) -> Result<Self> {
        self.basis = Basis::Factorised {
            learngene: split.learngene,
        };
        self.with_tailors(split.tailor)
    }

    /// The same model with one tailor of rank `N_T` per class and superclass beside whatever its projections are made
    /// of; with rank 0 without tailors and superclasses.
    pub fn with_tailors(mut self, tailor_rank: usize) -> Result<Self> {
        self.tailor_rank = tailor_rank;
        if tailor_rank == 0 {
            self.superclasses.clear();
        }
        self.sharing = Sharing::Class;
        self.groups = self.expected_groups();
        self.validate()?;
        Ok(self)
    }

    /// The same model with one tailor of rank `N_T` for all classes in place of those it has.
    pub fn with_shared_tailor(mut self, tailor_rank: usize, sharing: Sharing) -> Result<Self> {
        self.tailor_rank = tailor_rank;
        self.superclasses.clear();
        self.sharing = sharing;
        self.groups = self.expected_groups();
        self.validate()?;
        Ok(self)
    }

    pub(crate) fn expected_groups(&self) -> usize {
        match (self.tailor_rank, self.sharing) {
            (0, _) => 0,
            (_, Sharing::Class) => {
                let shared = superclass::tailors(&self.superclasses);
                self.num_classes.saturating_add(shared)
            }
            (_, Sharing::Labelled | Sharing::Every) => 1,
        }
    }

    /// Refuses what describes no model, naming the field.
    pub fn validate(&self) -> Result<()> {
        let fail = |field, found: String, expected: &str| {
            Err(Error::Config {
                field,
                found,
                expected: expected.into(),
            })
        };
        let groups = self.expected_groups();
        if self.groups != groups {
            let found = format!("{} with tailor_rank {}", self.groups, self.tailor_rank);
            let expected = format!(
                "{groups}: one tailor per class and those of superclasses, one they share, or none without a tailor_rank"
            );
            return fail("groups", found, &expected);
        }
        let [c, h, w] = self.input;
        for (field, value) in [
            ("input channels", c),
            ("input height", h),
            ("input width", w),
            ("patch", self.patch),
            ("hidden", self.hidden),
            ("depth", self.depth),
            ("heads", self.heads),
            ("mlp_ratio", self.mlp_ratio),
            ("num_classes", self.num_classes),
        ] {
            if value == 0 {
                return fail(field, "0".into(), "at least 1");
            }
        }
        for (field, value, most) in [
            ("input channels", c, MAX_WIDTH),
            ("patch", self.patch, MAX_PATCH),
            ("hidden", self.hidden, MAX_WIDTH),
            ("depth", self.depth, MAX_DEPTH),
            ("num_classes", self.num_classes, MAX_CLASSES),
        ] {
            if value > most {
                return fail(field, value.to_string(), &format!("at most {most}"));
            }
        }
        if self.hidden.saturating_mul(self.mlp_ratio) > MAX_HIDDEN_UNITS {
            let found = format!("{} with hidden {}", self.mlp_ratio, self.hidden);
            let expected = format!("at most {MAX_HIDDEN_UNITS} hidden units");
            return fail("mlp_ratio", found, &expected);
        }
        if !h.is_multiple_of(self.patch) || !w.is_multiple_of(self.patch) {
            let sides = format!("{} for an input of {h}x{w}", self.patch);
            return fail("patch", sides, "a side that divides both height and width");
        }
        let tokens = (h / self.patch).saturating_mul(w / self.patch);
        if tokens > MAX_TOKENS {
            let found = format!("{tokens} ({h}x{w} in patches of {0}x{0})", self.patch);
            let expected = format!("at most {MAX_TOKENS}: smaller images or a larger patch");
            return fail("tokens of an image", found, &expected);
        }
        if !self.hidden.is_multiple_of(self.heads) || !self.hidden.is_multiple_of(4) {
            let found = format!("{} with {} heads", self.hidden, self.heads);
            return fail(
                "hidden",
                found,
                "a multiple of 4 and of the number of heads",
            );
        }
        if self.attention_basis.is_some() && self.mlp_ratio < 2 {
            let found = format!("given with mlp_ratio {}", self.mlp_ratio);
            return fail(
                "attention_basis",
                found,
                "none, or an mlp_ratio of 2 or more",
            );
        }
        let ranks = [Some(self.basis), self.attention_basis].map(|b| b.and_then(Basis::rank));
        if ranks.contains(&Some(0)) {
            return fail(
                "rank split",
                "N_G = 0".into(),
                "at least one learngene component",
            );
        }
        superclass::validate(self)?;
        let learngene = ranks.into_iter().flatten().max().unwrap_or(0);
        let tailors = self.tailor_rank.saturating_mul(self.switched_on());
        let active = learngene.saturating_add(tailors);
        if active > self.hidden {
            let sum = match self.switched_on() {
                ..2 => "N_G + N_T".to_owned(),
                tailors => format!("N_G + {tailors} N_T (a class and its superclass)"),
            };
            return fail(
                "rank split",
                format!("{learngene},{} (active rank {active})", self.tailor_rank),
                &format!(
                    "{sum} of at most {}, the smaller side of the matrices",
                    self.hidden
                ),
            );
        }
        if let Some(eps) = self.mlp_norm_eps.filter(|eps| !(*eps > 0.0 && *eps < 1.0)) {
            return fail("mlp_norm_eps", eps.to_string(), "between 0 and 1");
        }
        if self.bottleneck > self.hidden {
            let found = self.bottleneck.to_string();
            return fail("bottleneck", found, &format!("at most {}", self.hidden));
        }
        crate::term::validate(self)?;
        let parameters = params::count(self);
        if parameters > u128::from(MAX_PARAMETERS) {
            let expected = format!(
                "at most {MAX_PARAMETERS}: a smaller hidden, depth, mlp_ratio, num_classes or rank split"
            );
            return fail("number of parameters", parameters.to_string(), &expected);
        }
        Ok(())
    }

    /// Patches of an image, which is the number of tokens `T`.
    pub fn tokens(&self) -> usize {
        (self.input[1] / self.patch) * (self.input[2] / self.patch)
    }

    /// Numbers in one patch.
    pub fn patch_len(&self) -> usize {
        self.input[0] * self.patch * self.patch
    }

    /// Channels of the output.
    pub fn out_channels(&self) -> usize {
        self.input[0] * if self.learn_sigma { 2 } else { 1 }
    }

    /// Hidden units of the MLP.
    pub fn mlp_hidden(&self) -> usize {
        self.hidden * self.mlp_ratio
    }

    /// The label that stands for "no class".
    pub fn null_label(&self) -> usize {
        self.num_classes
    }

    /// Why no weights can hold all of the model, if none can.
    pub fn beside_matrices(&self) -> Option<&'static str> {
        if self.bottleneck > 0 {
            return Some("a bottleneck is no part of any matrix");
        }
        (self.prompts != Prompts::None).then_some("a prompt is no part of any matrix")
    }

    /// `N_G`, if the projections are factorised.
    pub fn learngene_rank(&self) -> Option<usize> {
        self.basis.rank()
    }

    /// What the projection from `inputs` to `outputs` is made of.
    pub(crate) fn basis_of(&self, inputs: usize, outputs: usize) -> Basis {
        match self.attention_basis {
            Some(attention) if inputs == outputs => attention,
            _ => self.basis,
        }
    }
}

impl Basis {
    /// Number of learngene components, if there are any.
    pub fn rank(self) -> Option<usize> {
        match self {
            Self::Dense => None,
            Self::Factorised { learngene } => Some(learngene),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_split_beyond_the_matrix_is_refused() {
        let config = DitConfig::from_size("dit-micro/4", [3, 32, 32], 12).unwrap();
        let split = RankSplit {
            learngene: 90,
            tailor: 8,
        };
        let text = config.with_rank_split(split).unwrap_err().to_string();
        assert!(
            text.contains("at most 96") && text.contains("active rank 98"),
            "{text}"
        );
    }

    #[test]
    fn unknown_size_names_the_nearest() {
        let text = DitConfig::from_size("dit-nanno/4", [3, 32, 32], 12)
            .unwrap_err()
            .to_string();
        assert!(text.contains("did you mean `dit-nano/4`"), "{text}");
    }

    #[test]
    fn patch_must_divide_the_image() {
        let text = DitConfig::from_size("dit-nano/4", [1, 30, 30], 10)
            .unwrap_err()
            .to_string();
        assert!(text.contains("30x30"), "{text}");
    }

    #[test]
    fn sizes_no_machine_could_hold_are_refused() {
        let config = DitConfig::from_size("dit-micro/4", [3, 32, 32], 12).unwrap();
        let vast = DitConfig {
            input: [3, usize::MAX - 3, 1 << 40],
            ..config.clone()
        };
        let text = vast.validate().unwrap_err().to_string();
        assert!(text.contains("at most 65536"), "{text}");
        let deep = DitConfig {
            depth: usize::MAX,
            ..config
        };
        let text = deep.validate().unwrap_err().to_string();
        assert!(
            text.contains("depth") && text.contains("at most 1024"),
            "{text}"
        );
    }

    /// Each of these wraps, aborts or panics where it is only multiplied.
    #[test]
    fn a_number_beyond_all_bounds_is_named() {
        let config = DitConfig::from_size("dit-micro/4", [3, 32, 32], 12)
            .and_then(|config| config.with_rank_split("16,4".parse().unwrap()))
            .unwrap();
        let with = |change: &dyn Fn(&mut DitConfig)| {
            let mut config = config.clone();
            change(&mut config);
            config.groups = config.expected_groups();
            config.validate().unwrap_err().to_string()
        };
        for (text, part) in [
            (
                with(&|c| c.mlp_ratio = usize::MAX / 2),
                "mlp_ratio is 9223372036854775807",
            ),
            (
                with(&|c| c.mlp_ratio = 1_000_000_000),
                "mlp_ratio is 1000000000",
            ),
            (with(&|c| c.hidden = 9_600_000), "hidden is 9600000"),
            (
                with(&|c| (c.hidden, c.depth, c.heads) = (1 << 20, 1 << 10, 4)),
                "number of parameters is",
            ),
            (
                with(&|c| c.num_classes = 10_usize.pow(18)),
                "num_classes is 1000000000000000000",
            ),
            (
                with(&|c| c.num_classes = 1 << 30),
                "number of parameters is",
            ),
            (
                with(&|c| c.patch = usize::MAX),
                "patch is 18446744073709551615",
            ),
            (with(&|c| c.input[0] = usize::MAX), "input channels is"),
            (
                with(&|c| c.heads = usize::MAX),
                "18446744073709551615 heads",
            ),
            (with(&|c| c.tailor_rank = usize::MAX), "active rank"),
            (with(&|c| c.bottleneck = usize::MAX), "bottleneck is"),
        ] {
            assert!(text.contains(part), "`{text}` does not say `{part}`");
        }
    }

    #[test]
    fn every_size_has_a_rank_split_that_fits() {
        for (name, hidden, ..) in SIZES {
            let split = RankSplit::of_width(*hidden);
            let size = format!("{name}/4");
            let config = DitConfig::from_size(&size, [3, 32, 32], 12).unwrap();
            assert!(config.with_rank_split(split).is_ok(), "{size} {split}");
        }
        for (hidden, split) in [(96, "48,4"), (192, "96,8"), (1152, "576,48")] {
            assert_eq!(RankSplit::of_width(hidden).to_string(), split);
        }
    }

    #[test]
    fn rank_split_is_read_and_written() {
        let split: RankSplit = "96, 8".parse().unwrap();
        assert_eq!(split.to_string(), "96,8");
        assert!("96".parse::<RankSplit>().is_err());
    }
}
