//! What is compared: the TOML file.

use crate::error::{Error, Result};
use learngene_diffusion::{Clip, SamplerKind, Sampling};
use learngene_eval::metrics::Bootstrap;
use learngene_formats::read_text;
use learngene_train::{DataConfig, config::with_nearest};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The most draws, images and resamples: far beyond use, and small enough to be multiplied.
const MOST: usize = 1_000_000;

/// Methods, on what, and on which terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The images to adapt to. Size and channels are the bases' where nothing is said.
    pub data: DataConfig,
    /// Seeds; each is a cell of every row.
    #[serde(default = "first_seed")]
    pub seeds: Vec<u64>,
    /// Steps of every training.
    #[serde(default = "steps")]
    pub steps: u64,
    /// Training images of each class, each number rows of its own; 0 is all that `data` has.
    #[serde(default = "all_images")]
    pub images_per_class: Vec<usize>,
    /// The row that all others are put beside; the first, if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Base models by name: paths, in which `{seed}` stands for the seed.
    pub base: BTreeMap<String, String>,
    /// How the learning rate is chosen.
    #[serde(default)]
    pub sweep: Sweep,
    /// How cells are judged.
    #[serde(default)]
    pub judge: Judging,
    /// Settings of training for all rows: a `[train]` section.
    #[serde(default)]
    pub train: toml::Table,
    /// What is compared.
    #[serde(default)]
    pub row: Vec<Row>,
}

/// A method on a base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// What it is called in tables.
    pub name: String,
    /// Name of the base.
    pub base: String,
    /// Name of the method.
    pub method: String,
    /// Settings of the method.
    #[serde(default)]
    pub settings: toml::Table,
    /// Settings of training for this row alone.
    #[serde(default)]
    pub train: toml::Table,
}

/// The choice of the learning rate, the same for every row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sweep {
    /// Factors on the method's own rate. A single one is no sweep.
    pub factors: Vec<f64>,
    /// On which seeds.
    pub seeds: SweepSeeds,
}

/// The seeds of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SweepSeeds {
    /// The first alone.
    #[default]
    First,
    /// All; the mean of their validation losses decides.
    All,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            factors: vec![0.5, 1.0, 2.0],
            seeds: SweepSeeds::First,
        }
    }
}

/// How cells are judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Judging {
    /// (time, noise) draws of each test image.
    pub repeats: usize,
    /// Images drawn of each class, at every guidance.
    pub images: usize,
    /// Scales of guidance.
    pub guidance: Vec<f64>,
    /// The sampler.
    pub sampler: SamplerKind,
    /// Its steps.
    pub steps: usize,
    /// Images of each class that the page shows.
    pub shown: usize,
    /// Resamples of the 95 % intervals of what is measured on a cell's images; 0 for none but those of shares. Each takes as
    /// long as a Frechet distance, about a second.
    pub resamples: usize,
    /// Weights of InceptionV3, as `eval --inception` takes them: its FID, sFID, KID, inception score, precision, recall,
    /// density and coverage besides those of the built-in network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inception: Option<PathBuf>,
}

impl Default for Judging {
    fn default() -> Self {
        Self {
            repeats: 8,
            images: 16,
            guidance: vec![1.0, 2.0],
            // With guidance, DDIM's images at so few steps are less often what their label says.
            sampler: SamplerKind::Ddpm,
            steps: 25,
            shown: 2,
            resamples: 0,
            inception: None,
        }
    }
}

impl Judging {
    pub(crate) fn bootstrap(&self) -> Bootstrap {
        Bootstrap {
            seed: 0,
            resamples: self.resamples,
        }
    }

    pub(crate) fn sampling(&self) -> Sampling {
        Sampling {
            kind: self.sampler,
            steps: self.steps,
            clip: Clip::Range,
            ..Sampling::default()
        }
    }
}

fn first_seed() -> Vec<u64> {
    vec![0]
}

fn steps() -> u64 {
    learngene_transfer::STEPS
}

fn all_images() -> Vec<usize> {
    vec![0]
}

impl Comparison {
    /// Reads a file.
    ///
    /// # Errors
    /// No such file, unknown keys (the nearest known one is named), values that cannot be.
    pub fn read(path: &Path) -> Result<Self> {
        let bad = |message: String| Error::Config {
            path: Some(path.into()),
            message,
        };
        let text = read_text(path).map_err(|e| bad(e.to_string()))?;
        let read: Self = toml::from_str(&text).map_err(|e| bad(with_nearest(&e.to_string())))?;
        read.validate().map_err(|error| match error {
            Error::Config { message, .. } => bad(message),
            other => other,
        })?;
        Ok(read)
    }

    /// Refuses what compares nothing.
    ///
    /// # Errors
    /// [`Error::Config`] with the first key that cannot be as it is, and what would be right.
    pub fn validate(&self) -> Result<()> {
        let judge = &self.judge;
        let factors = &self.sweep.factors;
        let positive = |x: &f64| *x > 0.0 && x.is_finite();
        for (name, found) in [
            ("repeats", judge.repeats),
            ("images", judge.images),
            ("resamples", judge.resamples),
        ] {
            if found > MOST {
                let text = format!("`judge.{name}` is {found}, expected at most {MOST}");
                return Err(Error::config(text));
            }
        }
        for (good, what) in [
            (
                !self.row.is_empty(),
                "there is no [[row]], expected at least one",
            ),
            (
                distinct(&self.seeds),
                "`seeds` must be one or more different numbers",
            ),
            (self.steps > 0, "`steps` is 0, expected at least 1"),
            (
                distinct(&self.images_per_class),
                "`images_per_class` must be one or more different numbers; 0 is all",
            ),
            (
                factors.iter().all(positive)
                    && distinct(&factors.iter().map(|f| f.to_bits()).collect::<Vec<_>>()),
                "`sweep.factors` must be one or more different positive numbers",
            ),
            (
                judge.repeats > 0,
                "`judge.repeats` is 0, expected at least 1",
            ),
            (
                judge.images > 1,
                "`judge.images` must be at least 2: there is nothing to judge without samples",
            ),
            (judge.steps > 0, "`judge.steps` is 0, expected at least 1"),
            (
                judge.guidance.iter().all(|g| g.is_finite())
                    && distinct(
                        &judge
                            .guidance
                            .iter()
                            .map(|f| f.to_bits())
                            .collect::<Vec<_>>(),
                    ),
                "`judge.guidance` must be one or more different numbers; 1 is no guidance",
            ),
            (
                judge.shown <= judge.images,
                "`judge.shown` must not be above `judge.images`",
            ),
        ] {
            if !good {
                return Err(Error::config(what));
            }
        }
        if self.row.iter().all(|row| row.name != self.reference()) {
            let known: Vec<&str> = self.row.iter().map(|row| &row.name[..]).collect();
            return Err(Error::config(format!(
                "`against` is `{}`, which no row is called; rows are {}",
                self.reference(),
                known.join(", ")
            )));
        }
        let mut slugs = BTreeSet::new();
        for row in &self.row {
            if !slugs.insert(slug(&row.name)) {
                return Err(Error::config(format!(
                    "two rows are called `{}`: give each a name of its own, different in its letters and digits",
                    row.name
                )));
            }
            if !self.base.contains_key(&row.base) {
                let known: Vec<&str> = self.base.keys().map(String::as_str).collect();
                return Err(Error::config(format!(
                    "row `{}` is on the base `{}`, which [base] does not name; it names {}",
                    row.name,
                    row.base,
                    known.join(", ")
                )));
            }
            learngene_transfer::method(&row.method)
                .map_err(|error| Error::from(error).in_row(&row.name))?;
            for key in ["steps", "seed", "lr"] {
                if self.train.contains_key(key) || row.train.contains_key(key) {
                    return Err(Error::config(format!(
                        "`train.{key}` cannot be set in a comparison, where it is equal for all or swept: use `steps`, \
                         `seeds` and `sweep.factors`"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Name of the row that all others are put beside.
    pub(crate) fn reference(&self) -> &str {
        let first = || self.row.first().map(|row| &row.name);
        self.against
            .as_ref()
            .or_else(first)
            .map_or("", String::as_str)
    }

    /// Path of a base for a seed.
    pub(crate) fn path_of(&self, base: &str, seed: u64) -> String {
        let pattern = self.base.get(base).map_or("", String::as_str);
        pattern.replace(SEED, &seed.to_string())
    }

    /// Whether all seeds share the base.
    pub(crate) fn is_one_for_all(&self, base: &str) -> bool {
        self.base.get(base).is_some_and(|path| !path.contains(SEED))
    }

    /// Seeds on which rates are chosen; none without a choice.
    pub(crate) fn sweep_seeds(&self) -> &[u64] {
        match (self.sweep.factors.len(), self.sweep.seeds) {
            (1, _) => &[],
            (_, SweepSeeds::First) => &self.seeds[..1],
            (_, SweepSeeds::All) => &self.seeds,
        }
    }
}

/// Where the seed stands in the path of a base.
const SEED: &str = "{seed}";

fn distinct<T: Ord>(values: &[T]) -> bool {
    !values.is_empty() && values.iter().collect::<BTreeSet<_>>().len() == values.len()
}

impl Row {
    /// The settings of the method as text.
    pub(crate) fn given(&self) -> BTreeMap<String, String> {
        let text = |value: &toml::Value| match value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let each = self.settings.iter();
        each.map(|(name, value)| (name.clone(), text(value)))
            .collect()
    }
}

/// A name for a folder: letters and digits, all else a dash.
pub(crate) fn slug(name: &str) -> String {
    let dashed: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let parts = dashed.split('-').filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        seeds = [3, 4]
        [data]
        source = "builtin:emoji"
        [base]
        kind = "runs/kind-{seed}"
        [[row]]
        name = "KIND, rank 8"
        base = "kind"
        method = "kind"
        settings = { rank = 8, warm = "mean" }
    "#;

    fn read(text: &str) -> Result<Comparison> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Comparison::read(file.path())
    }

    #[test]
    fn a_file_is_read_with_its_defaults() {
        let found = read(GOOD).unwrap();
        assert_eq!(found.path_of("kind", 4), "runs/kind-4");
        assert_eq!(found.sweep_seeds(), [3]);
        assert_eq!(found.steps, 150);
        let given = found.row[0].given();
        assert_eq!((&*given["rank"], &*given["warm"]), ("8", "mean"));
        assert_eq!(slug(&found.row[0].name), "kind-rank-8");
    }

    /// Methods with a rank train as many numbers as the first LoRA: the tailors of KIND and its control never have more
    /// components, all together, and at most an eighth less. A narrow base has as many more as it is narrower.
    #[test]
    fn the_experiments_are_comparisons_of_equal_ranks() {
        for (name, classes) in [
            ("novel", 8),
            ("fluent", 8),
            ("few", 8),
            ("cifar10", 10),
            ("fashion", 10),
        ] {
            let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments");
            let found = Comparison::read(&Path::new(root).join(format!("{name}.toml"))).unwrap();
            assert_eq!((found.seeds.len(), found.steps), (3, 150), "{name}");
            let components = |row: &Row| {
                let given = row.given();
                let rank: usize = given.get("rank")?.parse().unwrap();
                let shared = given.get("shared").map_or("auto", String::as_str);
                let all = match &*row.method {
                    "kind" | "gated-tailors" => {
                        let shared = match shared {
                            "no" => 0,
                            "auto" | "yes" => rank,
                            some => some.parse().unwrap(),
                        };
                        rank * classes + shared
                    }
                    "lora" | "pissa" | "dora" => rank,
                    "loha" => 2 * rank,
                    _ => return None,
                };
                Some(match &*row.base {
                    "narrow" => all * 168 / 192,
                    _ => all,
                })
            };
            let lora = found.row.iter().find(|row| row.method == "lora").unwrap();
            let wanted = components(lora).unwrap();
            let all: Vec<usize> = found.row.iter().filter_map(components).collect();
            assert!(all.len() > 3, "{name}");
            for all in all {
                // A narrow base's rank comes out a little above.
                let fits = all * 8 >= wanted * 7 && all <= wanted + 1;
                assert!(fits, "{name}: {all} of {wanted}");
            }
        }
    }

    #[test]
    fn what_compares_nothing_is_refused_with_what_would_be_right() {
        for (from, to, parts) in [
            ("seeds = [3, 4]", "seeds = []", &["`seeds`"][..]),
            (
                "seeds = [3, 4]",
                "seeds = [3, 3]",
                &["`seeds`", "different"],
            ),
            (
                "seeds = [3, 4]",
                "sedes = [3]",
                &["unknown field `sedes`", "`seeds`"],
            ),
            ("seeds = [3, 4]", "steps = 0", &["`steps` is 0"]),
            (
                "seeds = [3, 4]",
                "images_per_class = [4, 4]",
                &["`images_per_class`"],
            ),
            (
                "[data]",
                "judge = { images = 0 }\n[data]",
                &["`judge.images`", "at least 2"],
            ),
            (
                "[data]",
                "judge = { images = 4, shown = 5 }\n[data]",
                &["`judge.shown`"],
            ),
            (
                "[data]",
                "judge = { guidance = [nan] }\n[data]",
                &["`judge.guidance`"],
            ),
            (
                "[data]",
                "judge = { sampler = \"magic\" }\n[data]",
                &["magic", "ddim"],
            ),
            (
                "[data]",
                "sweep = { factors = [0.0] }\n[data]",
                &["`sweep.factors`", "positive"],
            ),
            (
                "[data]",
                "train = { lr = 1e-3 }\n[data]",
                &["`train.lr`", "sweep.factors"],
            ),
            (
                "base = \"kind\"",
                "base = \"dense\"",
                &["`dense`", "it names kind"],
            ),
            (
                "method = \"kind\"",
                "method = \"knid\"",
                &["KIND, rank 8", "did you mean `kind`"],
            ),
        ] {
            assert!(GOOD.contains(from));
            let text = read(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            for part in parts {
                assert!(text.contains(part), "{to}: `{part}` is not in {text}");
            }
        }
        let twice =
            format!("{GOOD}\n[[row]]\nname = \"kind rank-8\"\nbase = \"kind\"\nmethod = \"kind\"");
        let text = read(&twice).unwrap_err().to_string();
        assert!(text.contains("two rows are called"), "{text}");
        let text = read(&GOOD[..GOOD.find("[[row]]").unwrap()])
            .unwrap_err()
            .to_string();
        assert!(text.contains("no [[row]]"), "{text}");
    }
}
