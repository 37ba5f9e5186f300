//! `eval`.

use crate::args::{self, Metric};
use crate::failure::{Failure, Result};
use crate::features::{Cache, Extractor, views};
use crate::output;
use crate::pictures::Pictures;
use crate::progress::Progress;
use learngene_data::{Dataset, Image, Split};
use learngene_eval::metrics::{self, Bootstrap, Extraction, Measure, Origin};
use learngene_eval::{EvalError, doubts};
use learngene_train::DataConfig;
use serde::Serialize;

/// Metrics of any network, and those of InceptionV3.
const ALWAYS: [Metric; 3] = [Metric::Fd, Metric::Kid, Metric::Prdc];
const INCEPTION: [Metric; 2] = [Metric::Sfid, Metric::Is];

/// Images of each set without which there is nothing to measure.
const LEAST: usize = 2;

/// All that is printed.
#[derive(Serialize)]
struct Report<'a> {
    real: &'a str,
    generated: &'a str,
    features: &'a Origin,
    resamples: usize,
    seed: u64,
    measures: Vec<Measure>,
    /// Why to believe less of what the probe says than it seems to say.
    notes: Vec<String>,
}

/// `eval`.
pub fn eval(args: &args::Eval) -> Result<()> {
    let metrics = metrics(args)?;
    let source = |source: &str| DataConfig::of(source);
    let real = Pictures::open(&DataConfig {
        classes: args.classes.clone(),
        image_size: args.image_size,
        class_map: args.class_map.clone(),
        ..source(&args.real)
    })?;
    let generated = Pictures::open(&source(&args.generated))?;
    for (pictures, set) in [(&real, "real"), (&generated, "generated")] {
        let found = pictures.views().len();
        if found < LEAST {
            return Err(EvalError::TooFewImages {
                set,
                found,
                least: LEAST,
            }
            .into());
        }
    }
    let tested = match metrics.contains(&Metric::Probe) {
        true => Some(Tested::new(&real, &generated)?),
        false => None,
    };
    let judge = Judge {
        extractor: Extractor::load(args.inception.as_deref())?,
        cache: args.cache.as_deref().map(Cache::new),
        bootstrap: Bootstrap {
            seed: args.seed,
            resamples: args.resamples,
        },
    };
    let (measures, notes) = judge.measures(&metrics, tested.as_ref(), &real, &generated)?;
    let report = Report {
        real: &args.real,
        generated: &args.generated,
        features: &judge.extractor.origin(),
        resamples: args.resamples,
        seed: args.seed,
        measures,
        notes,
    };
    output::json(&report);
    print(&report);
    Ok(())
}

/// What is to be measured, each once.
fn metrics(args: &args::Eval) -> Result<Vec<Metric>> {
    let inception = args.inception.is_some();
    if !inception && args.metrics.iter().any(|m| INCEPTION.contains(m)) {
        return Err(Failure::Usage(
            "sfid and is are defined on InceptionV3 alone: name its weights with --inception"
                .into(),
        ));
    }
    let more = INCEPTION.iter().filter(|_| inception);
    let all = ALWAYS.iter().chain(more).copied().collect();
    let wanted = match &args.metrics[..] {
        [] => all,
        named => named.to_vec(),
    };
    let first = |&(at, metric): &(usize, &Metric)| !wanted[..at].contains(metric);
    let once = wanted.iter().enumerate().filter(first);
    Ok(once.map(|(_, &metric)| metric).collect())
}

/// What the probe is asked: real images with their classes, and the classes that generated ones should be of.
struct Tested<'a> {
    dataset: &'a Dataset,
    labels: Vec<usize>,
}

impl<'a> Tested<'a> {
    fn new(real: &'a Pictures, generated: &Pictures) -> Result<Self> {
        let dataset = real.dataset.as_ref().ok_or_else(|| {
            Failure::Usage(
                "the probe needs real images with classes and splits: give a SOURCE".into(),
            )
        })?;
        let labels = generated.classes_among(dataset.classes())?;
        Ok(Self { dataset, labels })
    }
}

/// All that judging takes besides images.
struct Judge {
    extractor: Extractor,
    cache: Option<Cache>,
    bootstrap: Bootstrap,
}

impl Judge {
    fn measures(
        &self,
        metrics: &[Metric],
        tested: Option<&Tested<'_>>,
        real: &Pictures,
        generated: &Pictures,
    ) -> Result<(Vec<Measure>, Vec<String>)> {
        let cache = self.cache.as_ref();
        let drawn = self
            .extractor
            .extract(&generated.views(), "generated images", cache)?;
        let real = self
            .extractor
            .extract(&real.views(), "real images", cache)?;
        let (mut measures, mut notes) = (Vec::new(), Vec::new());
        for metric in metrics {
            let of = |metric: metrics::Metric| {
                // Of the others, resamples take no time.
                let slow = matches!(metric, metrics::Metric::Frechet | metrics::Metric::Spatial);
                let resamples = self.bootstrap.resamples as u64;
                let shown = slow.then(|| Progress::new("intervals", resamples, "resamples"));
                metric.of(&real, &drawn, &self.bootstrap, || {
                    shown.iter().for_each(Progress::add);
                })
            };
            measures.extend(match metric {
                Metric::Fd => of(metrics::Metric::Frechet)?,
                Metric::Sfid => of(metrics::Metric::Spatial)?,
                Metric::Kid => of(metrics::Metric::Kernel)?,
                Metric::Is => of(metrics::Metric::Score)?,
                Metric::Prdc => of(metrics::Metric::Manifold)?,
                Metric::Probe => match tested {
                    Some(tested) => {
                        let (found, doubts) = self.probe(tested, &drawn)?;
                        notes.extend(doubts);
                        found
                    }
                    None => Vec::new(),
                },
            });
        }
        Ok((measures, notes))
    }

    /// How often a classifier of the real classes is right on generated images, and on real ones of the test split.
    fn probe(
        &self,
        tested: &Tested<'_>,
        drawn: &Extraction,
    ) -> Result<(Vec<Measure>, Vec<String>)> {
        let Tested { dataset, labels } = tested;
        let cache = self.cache.as_ref();
        let features =
            |images: &[Image], what: &str| self.extractor.extract(&views(images), what, cache);
        let judge = learngene_compare::Judge::train(dataset, features)?;
        let found = judge.rates(drawn, labels)?;
        let doubts = doubts(dataset.classes(), &judge.real, &found);
        let name = judge.train.pooled.origin().named("probe accuracy");
        let beside = format!("{name}, real test images");
        let counts = [Split::Train, Split::Test].map(|split| dataset.len(split));
        let drawn = Measure::of_rate(name, &found.overall, counts[0], labels.len());
        let real = Measure::of_rate(beside, &judge.real.overall, counts[1], 0);
        Ok(([drawn, real].into_iter().flatten().collect(), doubts))
    }
}

fn print(report: &Report<'_>) {
    let origin = report.features;
    output::say(&format!("real: {}", report.real));
    output::say(&format!("generated: {}", report.generated));
    output::say(&format!(
        "features: {:?}, weights {}, {} pixels",
        origin.network,
        origin.weights.get(..12).unwrap_or_default(),
        origin.resize
    ));
    output::say("");
    let rows = report.measures.iter().map(|measure| {
        let interval = measure.interval.map_or_else(
            || "-".to_owned(),
            |i| format!("{} to {}", digits(i.low), digits(i.high)),
        );
        let count = |n: usize| match n {
            0 => "-".to_owned(),
            n => n.to_string(),
        };
        vec![
            measure.name.clone(),
            digits(measure.value),
            interval,
            count(measure.real),
            count(measure.generated),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    output::table(
        &["measure", "value", "95 % interval", "n real", "n generated"],
        &rows,
    );
    let caveats = report.measures.iter().flat_map(|measure| {
        let line = |caveat| format!("{}: {caveat}", measure.name);
        measure.caveats.iter().map(line)
    });
    let notes = report.notes.iter().map(|note| format!("note: {note}"));
    let caveats: Vec<String> = caveats.chain(notes).collect();
    if !caveats.is_empty() {
        output::say("");
        caveats.iter().for_each(|line| output::say(line));
    }
}

/// Five digits or so, whatever the size.
fn digits(value: f64) -> String {
    match value.abs() {
        0.0..1.0 => format!("{value:.5}"),
        1.0..100.0 => format!("{value:.3}"),
        _ => format!("{value:.1}"),
    }
}
