//! What came out: rows of means and deviations over seeds.

use crate::aggregate::Stat;
use crate::base::Pretraining;
use crate::cell::{Judged, Real, Trained};
use crate::config::{Comparison, Row};
use crate::record::Course;
use learngene_data::Image;
use learngene_eval::Rates;
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
    /// Real test images before the same judge.
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
}

/// What real images get from the judge.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reference {
    /// Test images.
    pub images: usize,
    /// KID of the features of test and training images.
    pub kernel: f64,
    /// How often the class probe is right.
    pub probe: Rates,
}

impl Reference {
    pub(crate) fn new(real: Real) -> Self {
        Self {
            images: real.probe.overall.count,
            kernel: real.kernel,
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
    /// Images, a guidance each.
    pub drawn: Vec<DrawnSummary>,
    /// What makes its numbers say less than they seem to.
    pub caveats: Vec<String>,
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
    /// FD-Lite0 to the training images.
    pub frechet: Stat,
    /// KID-Lite0 to the training images.
    pub kernel: Stat,
    /// Share that the class probe takes for their label.
    pub probe: Stat,
    /// The same by class.
    pub probe_by_class: Vec<Option<Stat>>,
}

/// Pictures and curves of a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Show {
    pub course: Course,
    /// For every guidance, the first images of each class.
    pub strips: Vec<(f64, Vec<Vec<Image>>)>,
}

/// The cells of a line, by seed.
pub(crate) struct Cells {
    pub trained: Vec<Trained>,
    pub judged: Vec<Judged>,
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
        let judged = Self::of_judged(&row.name, &row.base, seeds.len(), &cells.judged);
        let line = |(seed, trained): (&u64, &Trained)| {
            let why = trained.diverged.as_ref()?;
            Some(format!("seed {seed} diverged {why}; it is in no mean"))
        };
        let diverged = seeds.iter().zip(&cells.trained).filter_map(line);
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
            caveats: once(diverged.chain(judged.caveats.clone())),
            ..judged
        }
    }

    /// Of a base as it is.
    pub(crate) fn of_base(base: &str, macs: u64, seeds: usize, judged: &[Judged]) -> Self {
        Self {
            macs,
            ..Self::of_judged(&format!("{base}, not adapted"), base, seeds, judged)
        }
    }

    fn of_judged(name: &str, base: &str, seeds: usize, judged: &[Judged]) -> Self {
        let classes = judged
            .first()
            .map_or(0, |j| j.losses.velocity_by_class.len());
        let guidances = judged.first().map_or(0, |j| j.drawn.len());
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
            drawn: (0..guidances)
                .filter_map(|g| DrawnSummary::of(judged, g))
                .collect(),
            caveats: once(
                judged
                    .iter()
                    .flat_map(|j| &j.drawn)
                    .flat_map(|d| d.caveats.clone()),
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
    fn of(judged: &[Judged], g: usize) -> Option<Self> {
        let each = || judged.iter().filter_map(|j| j.drawn.get(g));
        let classes = each().next()?.probe.per_class.len();
        let of_class = |c: usize| Stat::of(each().filter_map(|d| d.probe.per_class[c].rate));
        Some(Self {
            guidance: each().next()?.guidance,
            frechet: Stat::of(each().map(|d| d.frechet))?,
            kernel: Stat::of(each().map(|d| d.kernel))?,
            probe: Stat::of(each().filter_map(|d| d.probe.overall.rate))?,
            probe_by_class: (0..classes).map(of_class).collect(),
        })
    }
}
