//! `compare`.

use crate::failure::{Failure, Result};
use crate::features::{Cache, Extractor, views};
use crate::progress::{self, Progress};
use crate::{args, model, output, training, verbs};
use burn::tensor::Device;
use learngene_compare::{Comparison, Doing, Findings, Host, Notice};
use learngene_data::{Dataset, Image};
use learngene_eval::metrics::Extraction;
use learngene_nn::Dit;
use learngene_train::{DataConfig, RunConfig, Watch};
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// `compare`.
pub fn compare(args: &args::Compare, device: &str) -> Result<()> {
    let device = model::device(device)?;
    let wanted = Comparison::read(&args.file)?;
    let mut terminal = Terminal {
        device: device.clone(),
        lite0: None,
        inception: None,
        cache: Cache::new(&args.out.join("features")),
        progress: None,
    };
    let findings = learngene_compare::run(&wanted, &args.out, &device, &mut terminal)?;
    write(&findings, &args.out)?;
    output::json(&findings);
    for table in learngene_compare::tables(&findings) {
        output::say(&table.caption);
        let columns: Vec<&str> = table.columns.iter().map(String::as_str).collect();
        output::table(&columns, &table.rows);
        output::say("");
    }
    let notes = learngene_compare::notes(&findings);
    notes.iter().for_each(|note| output::say(note));
    output::say(&format!(
        "report: {}",
        args.out.join("report.html").display()
    ));
    Ok(())
}

/// The tables and the page, each whole or not at all.
fn write(findings: &Findings, out: &Path) -> Result<()> {
    let page = learngene_compare::report(findings)?.to_html();
    let json = serde_json::to_string_pretty(findings).unwrap_or_default();
    for (name, text) in [
        ("table.csv", learngene_compare::csv(findings)),
        ("classes.csv", learngene_compare::classes_csv(findings)),
        ("seeds.csv", learngene_compare::seeds_csv(findings)),
        ("table.tex", learngene_compare::latex(findings)),
        ("results.json", json),
        ("report.html", page),
    ] {
        output::write(&out.join(name), text.as_bytes())?;
        output::keep(&out.join(name));
    }
    Ok(())
}

/// The program as the host of a comparison.
struct Terminal {
    device: Device,
    /// Networks are loaded when they are first needed: a finished comparison needs no built-in one.
    lite0: Option<Extractor>,
    inception: Option<Extractor>,
    cache: Cache,
    progress: Option<Progress>,
}

impl Terminal {
    /// The built-in network, or InceptionV3 with these weights.
    fn extractor(&mut self, inception: Option<&Path>) -> Result<&Extractor> {
        let place = match inception {
            None => &mut self.lite0,
            Some(_) => &mut self.inception,
        };
        Ok(match place {
            Some(loaded) => loaded,
            None => place.insert(Extractor::load(inception)?),
        })
    }
}

impl Host for Terminal {
    type Failure = Failure;

    fn model(&mut self, path: &Path) -> Result<(RunConfig, Dit)> {
        model::load(path, &self.device)
    }

    fn data(&mut self, data: &DataConfig) -> Result<Dataset> {
        verbs::load(data)
    }

    fn features(
        &mut self,
        inception: Option<&Path>,
        images: &[Image],
        what: &str,
    ) -> Result<Extraction> {
        let cache = self.cache.clone();
        let extractor = self.extractor(inception)?;
        extractor.extract(&views(images), what, Some(&cache))
    }

    fn inception(&mut self, weights: &Path) -> Result<String> {
        Ok(self.extractor(Some(weights))?.origin().weights)
    }

    fn stop(&self) -> &'static AtomicBool {
        training::stop()
    }

    fn watch(&self) -> Watch {
        progress::watch()
    }

    fn notice(&mut self, notice: &Notice<'_>) {
        match notice {
            Notice::Cell {
                number,
                count,
                doing,
                name,
            } => {
                let doing = match doing {
                    Doing::Training => "training",
                    Doing::Judging => "judging",
                };
                output::note(&format!("{number}/{count} {doing} {name}"));
            }
            Notice::Training { done, steps } => {
                self.progress = Some(training::progress("training", *steps, *done));
            }
            Notice::Event(event) => self.progress.iter().for_each(|p| training::see(p, event)),
            Notice::Trained => self.progress = None,
            Notice::Warning(text) => output::note(&format!("warning: {text}")),
        }
    }
}
