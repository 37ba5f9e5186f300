//! The findings as lines for a terminal and as a JSON document.

use super::transferred::Transferred;
use super::{Findings, Verdict, swaps};
use learngene_eval::{Rate, Rates, doubts};
use learngene_train::Evaluation;
use serde_json::{Value, json};

/// By how many per cent `a` is above `b`.
pub fn above(a: &Evaluation, b: &Evaluation) -> f64 {
    100.0 * (a.velocity / b.velocity - 1.0)
}

/// A share with its counts.
pub fn share(rate: &Rate) -> String {
    match rate.rate {
        Some(value) => format!("{value:.3} ({} of {})", rate.hits, rate.count),
        None => "unknown (of no image)".into(),
    }
}

fn yes(it_is: bool) -> &'static str {
    if it_is { "yes" } else { "NO" }
}

/// The few lines a terminal shows at the end.
pub fn summary(f: &Findings) -> Vec<String> {
    let d = &f.diversion;
    let [right, none, wrong] = &d.gates;
    let mut lines = vec![
        format!(
            "base validation v loss {:.4}, epsilon loss {:.4} (n = {} draws)",
            right.velocity, right.epsilon, right.draws
        ),
        format!(
            "without tailor {:.4} ({:+.1} %), with a wrong one {:.4} ({:+.1} %)",
            none.velocity,
            above(none, right),
            wrong.velocity,
            above(wrong, right)
        ),
        format!(
            "class probe on real test images: {}",
            share(&d.real.overall)
        ),
    ];
    lines.extend(d.verdicts.iter().map(verdict));
    lines.extend(warned(
        &f.base.config.classes,
        &d.real,
        &d.verdicts,
        "right tailor",
    ));
    lines.push(format!(
        "assembly of {}: same images {}, {} bytes of tensors (plan: {}), {} MACs an image",
        f.assembly.classes.join(", "),
        yes(f.assembly.equal),
        f.assembly.tensor_bytes,
        f.assembly.plans[1].total.bytes,
        f.assembly.plans[1].total.macs,
    ));
    lines.push(transfer("new classes", &f.novel));
    lines.extend(f.novel.verdicts.iter().map(verdict));
    lines.extend(warned(
        &f.novel.classes,
        &f.novel.real,
        &f.novel.verdicts,
        "as trained",
    ));
    lines.push(format!(
        "learngene bit-identical after the transfer: {}",
        yes(f.novel.learngene_kept)
    ));
    if let Some(control) = &f.control {
        lines.push(format!(
            "control, dense: base validation v loss {:.4} (KIND {:+.1} % against it)",
            control.base.velocity,
            above(right, &control.base)
        ));
        lines.extend(control.verdicts.iter().map(verdict));
        lines.push(transfer(
            "control, class-gated tailors on dense",
            &control.novel,
        ));
        lines.extend(control.novel.verdicts.iter().map(verdict));
    }
    let stage = |(name, seconds): &(&str, f64)| format!("{name} {seconds:.0} s");
    let total: f64 = f.stages.iter().map(|s| s.1).sum();
    lines.push(format!(
        "wall time {total:.0} s: {}",
        f.stages.iter().map(stage).collect::<Vec<_>>().join(", ")
    ));
    lines
}

/// Why not to believe the rates of a gate.
fn warned(classes: &[String], real: &Rates, verdicts: &[Verdict], gate: &str) -> Vec<String> {
    let found = swaps::of(verdicts, gate, swaps::STRIP);
    let doubts = found.map(|v| doubts(classes, real, &v.label));
    doubts
        .into_iter()
        .flatten()
        .map(|doubt| format!("  note: {doubt}"))
        .collect()
}

fn verdict(v: &Verdict) -> String {
    let tailor = v
        .tailor
        .as_ref()
        .map(|t| format!(", as the tailor's class {}", share(&t.overall)));
    format!(
        "  guidance {}, {}: judged as the label {}{}",
        v.guidance,
        v.gate,
        share(&v.label.overall),
        tailor.unwrap_or_default()
    )
}

fn transfer(name: &str, t: &Transferred) -> String {
    let [before, after] = &t.losses;
    format!(
        "{name}: validation v loss {:.4} before, {:.4} after (n = {} draws, {} parameters trained); probe on real images {}",
        before.velocity,
        after.velocity,
        after.draws,
        t.trained,
        share(&t.real.overall)
    )
}

/// Everything that is a number.
pub fn of(f: &Findings) -> Value {
    let d = &f.diversion;
    let [right, none, wrong] = &d.gates;
    let moved = |t: &Transferred| {
        json!({
            "classes": t.classes,
            "before": t.losses[0],
            "after": t.losses[1],
            "trained_parameters": t.trained,
            "learngene_bit_identical": t.learngene_kept,
            "probe_on_real_images": t.real,
            "probe": t.verdicts,
        })
    };
    let control = f
        .control
        .as_ref()
        .map(|c| json!({ "base": c.base, "probe": c.verdicts, "novel": moved(&c.novel) }));
    json!({
        "config": f.base.config,
        "base": {
            "right_tailor": right,
            "no_tailor": none,
            "wrong_tailor": wrong,
            "probe_on_real_images": d.real,
            "probe": d.verdicts,
        },
        "assembly": f.assembly,
        "novel": moved(&f.novel),
        "control": control,
        "seconds": f.stages.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "threads": rayon::current_num_threads(),
    })
}
