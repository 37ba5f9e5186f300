//! What stands below the tables: what bases cost, and what to know before believing a number.

use crate::base::Pretraining;
use crate::findings::{Findings, Summary, once};
use crate::table::short;
use std::collections::BTreeMap;

/// What bases cost, and what to know: a line each.
pub fn notes(findings: &Findings) -> Vec<String> {
    let mut notes = bases(findings);
    notes.extend(caveats(findings));
    notes
}

/// What bases cost, a line each.
pub(crate) fn bases(findings: &Findings) -> Vec<String> {
    let line = |p: &Pretraining| {
        format!(
            "base `{}` ({}): {} steps, {} images, {} MACs an image, {} in all (forward passes)",
            p.base,
            p.path,
            p.steps,
            p.images,
            short(p.macs),
            short(p.macs * p.images)
        )
    };
    findings.pretraining.iter().map(line).collect()
}

/// What to know before believing a number: a line each, and for each row's own caveats the rows that have it.
pub(crate) fn caveats(findings: &Findings) -> Vec<String> {
    let general = findings.caveats.iter().map(|c| format!("caveat: {c}"));
    let rows = &findings.rows;
    let each = once(rows.iter().flat_map(|row| row.caveats.clone()));
    let adapted: Vec<&Summary> = rows.iter().filter(|row| row.method.is_some()).collect();
    let of_rows = each.iter().map(|caveat| {
        let with = |row: &&Summary| row.caveats.contains(caveat);
        let names = match adapted.len() > 1 && adapted.iter().all(with) {
            true => "every row".to_owned(),
            false => once(rows.iter().filter(with).map(|row| row.name.clone())).join("; "),
        };
        format!("caveat: {names}: {caveat}")
    });
    let real = &findings.real;
    let of_real = real.caveats.iter();
    let of_real = of_real.map(|caveat| format!("caveat: real test images: {caveat}"));
    let drawn = findings.comparison.judge.images * findings.classes.len();
    let unequal = (drawn != real.images).then(|| {
        format!(
            "caveat: {} real test images beside {drawn} drawn ones of a seed: distances, recall and coverage depend on how many \
             there are, so the last row is no exact bar for them",
            real.images
        )
    });
    let reference = findings.comparison.reference();
    let of_reference = |row: &&Summary| row.name == reference && row.by_seed.is_empty();
    let lost = rows.iter().find(of_reference).map(|_| {
        format!("caveat: `{reference}` came to nothing, so that nothing can be put beside it")
    });
    let all = general.chain(unequal_images(rows)).chain(of_rows);
    all.chain(of_real).chain(unequal).chain(lost).collect()
}

/// Rows whose batches have images without a label see more of them than rows in which such images train nothing.
fn unequal_images(rows: &[Summary]) -> Option<String> {
    let mut seen: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (row, cost) in rows.iter().filter_map(|r| Some((r, r.cost.as_ref()?))) {
        seen.entry(cost.images).or_default().push(row.name.clone());
    }
    let each = seen
        .iter()
        .map(|(images, names)| format!("{images} by {}", once(names.clone()).join("; ")));
    let each: Vec<String> = each.collect();
    (each.len() > 1).then(|| {
        format!(
            "caveat: images seen in training: {}; the difference is images without a label, which some methods do not \
             train on, or a setting of the row",
            each.join(", ")
        )
    })
}
