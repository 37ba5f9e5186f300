//! What came out: rows of means and deviations over seeds.

use crate::against::Against;
use crate::aggregate::Stat;
use crate::base::Pretraining;
use crate::cell::{Drawn, Judged, Real, Trained, Verdict};
use crate::config::{Comparison, Row};
use crate::record::Course;
use learngene_data::Image;
use learngene_eval::metrics::{Interval, Measure};
use learngene_eval::{Rate, Rates, failures};
use serde::Serialize;

/// Everything tables and page show.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// What was compared.
    pub comparison: Comparison,
    /// Classes in the order of all lists by class.
    pub classes: Vec<String>,
    /// What the bases cost.
    pub pretraining: Vec<Pretraining>,
    /// Training images that drawn ones are beside.
    pub training_images: usize,
    /// Real test images before the same judges.
    pub real: Reference,
    /// The rows, and after them the bases before anything was trained.
    pub rows: Vec<Summary>,
    /// What the sweep tried.
    pub sweep: Vec<SweepPoint>,
    /// What a reader must know before believing a number.
    pub caveats: Vec<String>,
    /// Of each row, the first seed's.
    #[serde(skip)]
    pub(crate) shows: Vec<Show>,
    /// Real test images, the first of each class.
    #[serde(skip)]
    pub(crate) images: Vec<Vec<Image>>,
}

/// What real images get from the judges.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reference {
    /// Test images.
    pub images: usize,
    /// How often the class probe is right.
    pub probe: Rates,
    /// Beside the training images.
    pub measures: Vec<MeasureOfSeed>,
    /// What makes these numbers say less than they seem to.
    pub caveats: Vec<String>,
}

impl Reference {
    pub(crate) fn new(real: Real) -> Self {
        Self {
            images: real.probe.overall.count,
            measures: of_seed(&real.measured.measures),
            caveats: real.measured.caveats().collect(),
            probe: real.probe,
        }
    }
}

/// A rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepPoint {
    /// The row.
    pub row: String,
    /// Training images of each class; 0 is all.
    pub images_per_class: usize,
    /// Factor on the method's rate.
    pub factor: f64,
    /// v loss on validation images; none if every seed diverged.
    pub validation: Option<Stat>,
    /// Seeds that diverged.
    pub diverged: usize,
    /// Whether it was taken.
    pub chosen: bool,
}

/// A line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The row.
    pub name: String,
    /// Its base.
    pub base: String,
    /// Its method; none for a base as it is.
    pub method: Option<String>,
    /// Training images of each class; 0 is all.
    pub images_per_class: usize,
    /// Seeds asked for.
    pub seeds: usize,
    /// What training cost; none for a base as it is, or if every seed diverged.
    pub cost: Option<CostSummary>,
    /// Multiply-accumulates of one forward pass of one image, merged if that is possible and cheaper.
    pub macs: u64,
    /// v loss on test images.
    pub velocity: Option<Stat>,
    /// Error of the noise.
    pub epsilon: Option<Stat>,
    /// v loss by class.
    pub velocity_by_class: Vec<Option<Stat>>,
    /// Beside another row; none of that one.
    pub against: Option<Against>,
    /// Images, a guidance each.
    pub drawn: Vec<DrawnSummary>,
    /// What the means are of; seeds that came to nothing are not among them.
    pub by_seed: Vec<OfSeed>,
    /// What makes its numbers say less than they seem to.
    pub caveats: Vec<String>,
}

/// A line's numbers of one seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfSeed {
    /// The seed.
    pub seed: u64,
    /// v loss on validation images after training; none for a base as it is.
    pub validation: Option<f64>,
    /// v loss on test images.
    pub velocity: f64,
    /// v loss of each of them.
    #[serde(skip)]
    pub velocity_by_image: Vec<f64>,
    /// Error of the noise.
    pub epsilon: f64,
    /// Images, a guidance each.
    pub drawn: Vec<DrawnOfSeed>,
}

/// Images drawn of one seed with one guidance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DrawnOfSeed {
    /// The guidance.
    pub guidance: f64,
    /// How often the class probe takes them for their label.
    pub probe: Rate,
    /// Beside the training images.
    pub measures: Vec<MeasureOfSeed>,
}

/// One number about images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasureOfSeed {
    /// What it is, and of which features: `FD-Lite0`, `FID`, ...
    pub name: String,
    /// The estimate.
    pub value: f64,
    /// Its 95 % interval over draws of the images, if resamples were asked for.
    pub interval: Option<Interval>,
}

impl DrawnOfSeed {
    fn of(drawn: &Drawn) -> Self {
        Self {
            guidance: drawn.guidance,
            probe: drawn.probe.overall,
            measures: of_seed(&drawn.measured.measures),
        }
    }
}

fn of_seed(measures: &[Measure]) -> Vec<MeasureOfSeed> {
    let of = |measure: &Measure| MeasureOfSeed {
        name: measure.name.clone(),
        value: measure.value,
        interval: measure.interval,
    };
    measures.iter().map(of).collect()
}

/// What a row's training cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostSummary {
    /// Numbers that were trained.
    pub trained_parameters: u64,
    /// Images seen.
    pub images: u64,
    /// Bytes to pass on to whoever has the base.
    pub ship_bytes: u64,
    /// Factor on the method's rate.
    pub factor: f64,
    /// Peak learning rate.
    pub rate: f64,
    /// Wall time of training.
    pub seconds: Stat,
}

/// Images drawn with one guidance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DrawnSummary {
    /// The guidance.
    pub guidance: f64,
    /// Share that the class probe takes for their label.
    pub probe: Stat,
    /// The same by class.
    pub probe_by_class: Vec<Option<Stat>>,
    /// Beside the training images.
    pub measures: Vec<MeasureSummary>,
}

/// A number about images, of several seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasureSummary {
    /// What it is, and of which features: `FD-Lite0`, `FID`, ...
    pub name: String,
    /// Mean and deviation.
    #[serde(flatten)]
    pub stat: Stat,
}

/// Pictures and curves of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Show {
    pub course: Course,
    /// For every guidance, the first images of each class.
    pub strips: Vec<(f64, Vec<Vec<Image>>)>,
    /// What the probe says of all images, a guidance each.
    pub probes: Vec<(f64, Rates)>,
}

impl Show {
    /// Why its images may show nothing, whatever the numbers are: a sentence for each guidance of which that is so.
    pub fn failures(&self, classes: &[String]) -> Vec<String> {
        let of = |(guidance, rates): &(f64, Rates)| {
            let found = failures(classes, rates);
            (!found.is_empty())
                .then(|| format!("guidance {guidance}, first seed: {}", found.join(" ")))
        };
        self.probes.iter().filter_map(of).collect()
    }
}

/// The cells of a line, by seed.
pub(crate) struct Cells {
    pub trained: Vec<Trained>,
    /// None of what diverged.
    pub judged: Vec<Option<Verdict>>,
}

impl Summary {
    /// Of the cells of a row.
    pub(crate) fn of_row(
        row: &Row,
        images: usize,
        factor: f64,
        seeds: &[u64],
        cells: &Cells,
    ) -> Self {
        let done = || cells.trained.iter().filter(|t| t.diverged.is_none());
        let each = || seeds.iter().zip(cells.trained.iter().zip(&cells.judged));
        let found = each().filter_map(|(&seed, (trained, judged))| match judged {
            Some(Verdict::Judged(judged)) => {
                let validation = trained.validation.as_ref();
                Some((seed, validation.map(|v| v.velocity), judged))
            }
            _ => None,
        });
        let found: Vec<_> = found.collect();
        let judged = Self::of_judged(&row.name, &row.base, seeds.len(), &found);
        let broken = each().filter_map(|(seed, (trained, judged))| {
            let why = match (&trained.diverged, judged) {
                (Some(why), _) => format!("diverged {why}"),
                (_, Some(Verdict::NotFinite { not_finite })) => {
                    format!("came to nothing: {not_finite} is not finite")
                }
                _ => return None,
            };
            Some(format!("seed {seed} {why}; it is in no mean"))
        });
        let cost = done().next().zip(Stat::of(done().map(|t| t.seconds)));
        Self {
            cost: cost.map(|(first, seconds)| CostSummary {
                trained_parameters: first.trained_parameters,
                images: first.images,
                ship_bytes: first.ship_bytes,
                factor,
                rate: first.rate,
                seconds,
            }),
            method: Some(row.method.clone()),
            images_per_class: images,
            macs: cells.trained.first().map_or(0, |t| t.macs),
            caveats: once(broken.chain(judged.caveats.clone())),
            ..judged
        }
    }

    /// Of a base as it is.
    pub(crate) fn of_base(base: &str, macs: u64, seeds: &[u64], judged: &[Judged]) -> Self {
        let name = format!("{base}, not adapted");
        let found = seeds.iter().zip(judged).map(|(&seed, j)| (seed, None, j));
        let found: Vec<_> = found.collect();
        Self {
            macs,
            ..Self::of_judged(&name, base, seeds.len(), &found)
        }
    }

    /// Of seeds, their losses on validation images, and what the judge found.
    fn of_judged(
        name: &str,
        base: &str,
        seeds: usize,
        found: &[(u64, Option<f64>, &Judged)],
    ) -> Self {
        let judged: Vec<&Judged> = found.iter().map(|(.., judged)| *judged).collect();
        let classes = judged
            .first()
            .map_or(0, |j| j.losses.velocity_by_class.len());
        let guidances = judged.first().map_or(0, |j| j.drawn.len());
        let of_seed = |&(seed, validation, judged): &(u64, Option<f64>, &Judged)| OfSeed {
            seed,
            validation,
            velocity: judged.losses.velocity,
            velocity_by_image: judged.velocity_by_image.clone(),
            epsilon: judged.losses.epsilon,
            drawn: judged.drawn.iter().map(DrawnOfSeed::of).collect(),
        };
        Self {
            name: name.into(),
            base: base.into(),
            method: None,
            images_per_class: 0,
            seeds,
            cost: None,
            macs: 0,
            velocity: Stat::of(judged.iter().map(|j| j.losses.velocity)),
            epsilon: Stat::of(judged.iter().map(|j| j.losses.epsilon)),
            velocity_by_class: (0..classes)
                .map(|c| Stat::of(judged.iter().filter_map(|j| j.losses.velocity_by_class[c])))
                .collect(),
            against: None,
            drawn: (0..guidances)
                .filter_map(|g| DrawnSummary::of(&judged, g))
                .collect(),
            by_seed: found.iter().map(of_seed).collect(),
            caveats: once(
                judged
                    .iter()
                    .flat_map(|j| &j.drawn)
                    .flat_map(|d| d.measured.caveats()),
            ),
        }
    }
}

/// Each text the first time it comes.
pub(crate) fn once(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut found = Vec::new();
    for text in texts {
        if !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

impl DrawnSummary {
    fn of(judged: &[&Judged], g: usize) -> Option<Self> {
        let each = || judged.iter().filter_map(|j| j.drawn.get(g));
        let classes = each().next()?.probe.per_class.len();
        let of_class = |c: usize| Stat::of(each().filter_map(|d| d.probe.per_class[c].rate));
        let measures = || each().flat_map(|d| &d.measured.measures);
        let of_name = |name: String| {
            let values = measures().filter(|m| m.name == name).map(|m| m.value);
            let stat = Stat::of(values)?;
            Some(MeasureSummary { name, stat })
        };
        Some(Self {
            guidance: each().next()?.guidance,
            probe: Stat::of(each().filter_map(|d| d.probe.overall.rate))?,
            probe_by_class: (0..classes).map(of_class).collect(),
            measures: once(measures().map(|m| m.name.clone()))
                .into_iter()
                .filter_map(of_name)
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use learngene_train::Evaluation;

    fn evaluation(velocity: f64) -> Evaluation {
        Evaluation {
            draws: 1,
            velocity,
            epsilon: 0.5,
            velocity_by_class: vec![Some(velocity)],
            velocity_by_image: Vec::new(),
        }
    }

    fn trained(diverged: Option<&str>) -> Trained {
        Trained {
            rate: 0.1,
            images: 1,
            trained_parameters: 1,
            macs: 1,
            ship_bytes: 1,
            seconds: 1.0,
            validation: diverged.is_none().then(|| evaluation(0.75)),
            diverged: diverged.map(String::from),
        }
    }

    #[test]
    fn what_came_to_nothing_is_named_and_in_no_mean() {
        let row = Row {
            name: "a".into(),
            base: "b".into(),
            method: "kind".into(),
            settings: toml::Table::new(),
            train: toml::Table::new(),
        };
        let judged = |velocity| {
            let losses = evaluation(velocity);
            Some(Verdict::Judged(Judged {
                losses,
                velocity_by_image: vec![velocity],
                drawn: Vec::new(),
            }))
        };
        let not_finite = Some(Verdict::NotFinite {
            not_finite: "the loss on test images".into(),
        });
        let cells = Cells {
            trained: [None, Some("at step 3"), None, None].map(trained).to_vec(),
            judged: vec![judged(0.25), None, not_finite, judged(0.5)],
        };
        let summary = Summary::of_row(&row, 0, 1.0, &[4, 5, 6, 7], &cells);
        assert_eq!(summary.velocity, Stat::of([0.25, 0.5]));
        let of = |s: &OfSeed| (s.seed, s.validation, s.velocity);
        let by_seed: Vec<_> = summary.by_seed.iter().map(of).collect();
        assert_eq!(by_seed, [(4, Some(0.75), 0.25), (7, Some(0.75), 0.5)]);
        let [five, six] = &summary.caveats[..] else {
            panic!("{:?}", summary.caveats)
        };
        assert!(five.contains("seed 5 diverged at step 3"), "{five}");
        let part = "seed 6 came to nothing: the loss on test images is not finite";
        assert!(six.contains(part), "{six}");
    }
}
