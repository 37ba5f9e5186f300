//! A comparison from its beginning to its end.

use crate::against::put_beside;
use crate::base;
use crate::bench::Bench;
use crate::cell::Cell;
use crate::config::Comparison;
use crate::findings::{Cells, Findings, Reference, Summary};
use crate::host::{Host, Notice};
use crate::judge::first_images;
use crate::targets::Targets;
use burn::tensor::Device;
use learngene_data::Split;
use learngene_eval::unknown;
use std::path::Path;

/// Runs what is missing in `out` and puts together what is there.
///
/// # Errors
/// A comparison that cannot be, before anything is trained; [`crate::Error::Interrupted`] when the host asks to stop, after
/// which the same call goes on; what the host, training and metrics report.
pub fn run<H: Host>(
    wanted: &Comparison,
    out: &Path,
    device: &Device,
    host: &mut H,
) -> std::result::Result<Findings, H::Failure> {
    wanted.validate()?;
    let inception = match &wanted.judge.inception {
        None => None,
        Some(weights) => Some(host.inception(weights)?),
    };
    let bases = base::open(wanted, host)?;
    let data = Targets::open(wanted, &bases, host)?;
    let (pretraining, mut caveats) = base::pretraining(wanted, &bases);
    caveats.extend(data.caveats(&bases));
    caveats
        .iter()
        .for_each(|c| host.notice(&Notice::Warning(c)));
    let mut bench = Bench {
        wanted,
        out,
        device: device.clone().autodiff(),
        bases: &bases,
        data: &data,
        host,
        inception,
        jury: None,
        number: 0,
    };
    bench.require_that_rows_start()?;

    let (mut rows, mut sweep, mut shows) = (Vec::new(), Vec::new(), Vec::new());
    for &images in &wanted.images_per_class {
        for (number, row) in wanted.row.iter().enumerate() {
            let points = bench.sweep(number, images)?;
            let chosen = points.iter().find(|point| point.chosen);
            let factor = chosen.map_or(wanted.sweep.factors[0], |point| point.factor);
            sweep.extend(points);
            let cell = |&seed: &u64| Cell {
                row: number,
                images,
                seed,
                factor,
            };
            let mut cells = Cells {
                trained: Vec::new(),
                judged: Vec::new(),
            };
            for cell in wanted.seeds.iter().map(cell) {
                let trained = bench.trained(&cell)?;
                cells.judged.push(match &trained.diverged {
                    None => Some(bench.judged(&cell)?),
                    Some(_) => None,
                });
                cells.trained.push(trained);
            }
            shows.push(bench.show(&cell(&wanted.seeds[0]), &cells)?);
            rows.push(Summary::of_row(row, images, factor, &wanted.seeds, &cells));
        }
    }
    for name in bench.base_names() {
        rows.push(bench.not_adapted(&name)?);
    }
    put_beside(&mut rows, wanted.reference())?;
    let mut real = Reference::new(bench.real()?);
    let classes = data.all.classes();
    for (row, show) in rows.iter_mut().zip(&shows) {
        row.caveats.extend(show.failures(classes));
    }
    real.caveats.extend(unknown(classes, &real.probe));
    Ok(Findings {
        comparison: wanted.clone(),
        classes: classes.to_vec(),
        pretraining,
        training_images: data.all.len(Split::Train),
        real,
        rows,
        sweep,
        caveats,
        shows,
        images: first_images(&data.all, Split::Test, wanted.judge.shown)?,
    })
}
