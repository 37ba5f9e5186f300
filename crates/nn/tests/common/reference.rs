//! The whole model once more, in f64 on the host and written from the formulas: one row at a time, one component at a
//! time. Slow, and with nothing in common with what it checks but the names of the parameters.

use super::Batch;
use learngene_nn::{AdaLn, Dit, DitConfig, Prompts, params};
use std::collections::BTreeMap;

/// A model's parameters in f64.
#[derive(Clone)]
pub struct Reference {
    config: DitConfig,
    /// Values by name; a test may change them.
    pub params: BTreeMap<String, Vec<f64>>,
}

impl Reference {
    pub fn of(model: &Dit) -> Self {
        let wide = |v: &f32| f64::from(*v);
        let params = params::values(model)
            .into_iter()
            .map(|(name, value)| (name, value.values.iter().map(wide).collect()))
            .collect();
        Self {
            config: model.config().clone(),
            params,
        }
    }

    /// The prediction `[b, c, h, w]` (twice the channels with learned variance), flat.
    pub fn forward(&self, batch: &Batch) -> Vec<f64> {
        let (c, d) = (&self.config, self.config.hidden);
        let t = c.tokens();
        let condition = self.condition(batch);
        let mut x = self.affine("patches", &self.patches(batch));
        for (token, row) in x.chunks_mut(d).enumerate() {
            add(row, &position(c, token % t), 1.0);
        }
        for block in 0..c.depth {
            self.prompt(block, &condition, &mut x);
            let six = self.modulation(block, &condition);
            for branch in 0..2 {
                let part = |sample: usize, which: usize| {
                    &six[sample][(3 * branch + which) * d..(3 * branch + which + 1) * d]
                };
                let normed = modulated(&x, d, |row| (part(row / t, 0), part(row / t, 1)));
                let change = match branch {
                    0 => self.attention(block, &normed, batch),
                    _ => self.mlp(block, &normed, batch),
                };
                for (row, (x, change)) in x.chunks_mut(d).zip(change.chunks(d)).enumerate() {
                    let gate = part(row / t, 2);
                    (0..d).for_each(|i| x[i] += gate[i] * change[i]);
                }
            }
        }
        let two = self.affine("final_modulation", &condition);
        let of = |row: usize| two[row / t * 2 * d..(row / t + 1) * 2 * d].split_at(d);
        self.unpatched(&self.affine("output", &modulated(&x, d, of)))
    }

    /// SiLU of the sum of the time's and the label's vector, `[b, d]` flat.
    fn condition(&self, batch: &Batch) -> Vec<f64> {
        let d = self.config.hidden;
        let code: Vec<f64> = batch.times.iter().flat_map(|&t| time_code(t)).collect();
        let hidden: Vec<f64> = self
            .affine("time.input", &code)
            .into_iter()
            .map(silu)
            .collect();
        let mut sum = self.affine("time.output", &hidden);
        for (row, label) in sum.chunks_mut(d).zip(&batch.labels) {
            let at = label.unwrap_or(self.config.num_classes) * d;
            add(row, &self.params["label.table"][at..at + d], 1.0);
        }
        sum.into_iter().map(silu).collect()
    }

    /// Adds to each token its row of the block's prompt, times its weight if there is a gate.
    fn prompt(&self, block: usize, condition: &[f64], x: &mut [f64]) {
        let (d, t) = (self.config.hidden, self.config.tokens());
        let weights = match self.config.prompts {
            Prompts::None => return,
            Prompts::Plain => vec![1.0; x.len() / d],
            Prompts::Gated => {
                let mut all = self.affine("prompt_gate.condition", condition);
                for logits in all.chunks_mut(t) {
                    add(logits, &self.params["prompt_gate.depth"], block as f64);
                    logits.iter_mut().for_each(|l| *l = l.exp());
                    let sum: f64 = logits.iter().sum();
                    logits.iter_mut().for_each(|l| *l /= sum);
                }
                all
            }
        };
        let prompt = &self.params[&format!("blocks.{block}.prompt.tokens")];
        for (row, (x, weight)) in x.chunks_mut(d).zip(weights).enumerate() {
            let at = row % t * d;
            add(x, &prompt[at..at + d], weight);
        }
    }

    /// Shift, scale and gate of attention, then of the MLP, for each sample.
    fn modulation(&self, block: usize, condition: &[f64]) -> Vec<Vec<f64>> {
        let six = 6 * self.config.hidden;
        let name = format!("blocks.{block}.modulation");
        let mut all = match self.config.adaln {
            AdaLn::PerBlock => self.affine(&format!("{name}.linear"), condition),
            AdaLn::Shared => self.affine("modulation", condition),
        };
        if self.config.adaln == AdaLn::Shared {
            let table = &self.params[&format!("{name}.table")];
            all.chunks_mut(six).for_each(|row| add(row, table, 1.0));
        }
        all.chunks(six).map(<[f64]>::to_vec).collect()
    }

    fn attention(&self, block: usize, x: &[f64], batch: &Batch) -> Vec<f64> {
        let (d, t, heads) = (self.config.hidden, self.config.tokens(), self.config.heads);
        let width = d / heads;
        let project = |name: &str, x: &[f64]| {
            self.projection(&format!("blocks.{block}.attention.{name}"), x, d, batch)
        };
        let (q, k, v) = (project("q", x), project("k", x), project("v", x));
        let mut mixed = vec![0.0; x.len()];
        for row in 0..x.len() / d {
            let others = row / t * t..(row / t + 1) * t;
            for head in 0..heads {
                let at = |row: usize| row * d + head * width..row * d + (head + 1) * width;
                let score = |o: usize| dot(&q[at(row)], &k[at(o)]) / (width as f64).sqrt();
                let weights: Vec<f64> = others.clone().map(|o| score(o).exp()).collect();
                let total: f64 = weights.iter().sum();
                for (other, weight) in others.clone().zip(weights) {
                    add(&mut mixed[at(row)], &v[at(other)], weight / total);
                }
            }
        }
        project("o", &mixed)
    }

    fn mlp(&self, block: usize, x: &[f64], batch: &Batch) -> Vec<f64> {
        let (d, hidden) = (self.config.hidden, self.config.mlp_hidden());
        let name = |part: &str| format!("blocks.{block}.mlp.{part}");
        let inner = self.projection(&name("input"), x, d, batch);
        let inner: Vec<f64> = inner.into_iter().map(gelu_tanh).collect();
        self.projection(&name("output"), &inner, hidden, batch)
    }

    /// `y = b + W x + sum_{i < N_G} sigma_i (x . v_i) u_i + sum_{(g, a)} a sum_{i in tailor g} sigma_i (x . v_i) u_i`,
    /// where either `W` or the learngene is absent.
    fn projection(&self, name: &str, x: &[f64], n: usize, batch: &Batch) -> Vec<f64> {
        let bias = &self.params[&format!("{name}.bias")];
        let mut out = Vec::new();
        for (row, x) in x.chunks(n).enumerate() {
            let mut y = bias.clone();
            if let Some(weight) = self.params.get(&format!("{name}.weight")) {
                let products = weight.chunks(n).map(|w| dot(w, x));
                y.iter_mut().zip(products).for_each(|(y, p)| *y += p);
            }
            let mut add_components = |part: &str, first: usize, count: Option<usize>, a: f64| {
                let of = |factor: &str| self.params.get(&format!("{name}.{part}.{factor}"));
                let (Some(u), Some(s), Some(v)) = (of("u"), of("s"), of("v")) else {
                    return;
                };
                let m = y.len();
                for i in first..count.map_or(s.len(), |count| first + count) {
                    let amount = a * s[i] * dot(x, &v[i * n..(i + 1) * n]);
                    add(&mut y, &u[i * m..(i + 1) * m], amount);
                }
            };
            add_components("learngene", 0, None, 1.0);
            let rank = self.config.tailor_rank;
            for &(group, a) in &batch.lists[row / self.config.tokens()] {
                add_components("tailors", group * rank, Some(rank), f64::from(a));
            }
            out.extend(y);
        }
        out
    }

    fn affine(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let bias = &self.params[&format!("{name}.bias")];
        let weight = &self.params[&format!("{name}.weight")];
        let n = weight.len() / bias.len();
        let row = |x| weight.chunks(n).zip(bias).map(move |(w, b)| b + dot(w, x));
        x.chunks(n).flat_map(row).collect()
    }

    /// Rows of the image's patches, each in channel, row, column order.
    fn patches(&self, batch: &Batch) -> Vec<f64> {
        let ([c, h, w], p) = (self.config.input, self.config.patch);
        let mut rows = Vec::with_capacity(batch.images.len());
        for image in batch.images.chunks(c * h * w) {
            for (top, left) in corners(h, w, p) {
                for channel in 0..c {
                    for (i, j) in (0..p).flat_map(|i| (0..p).map(move |j| (i, j))) {
                        rows.push(f64::from(image[(channel * h + top + i) * w + left + j]));
                    }
                }
            }
        }
        rows
    }

    /// Images from rows in row, column, channel order.
    fn unpatched(&self, rows: &[f64]) -> Vec<f64> {
        let ([_, h, w], p) = (self.config.input, self.config.patch);
        let c = self.config.out_channels();
        let mut images = vec![0.0; rows.len()];
        let tokens = rows.chunks(p * p * c).collect::<Vec<_>>();
        for (image, tokens) in images
            .chunks_mut(c * h * w)
            .zip(tokens.chunks(self.config.tokens()))
        {
            for ((top, left), token) in corners(h, w, p).zip(tokens) {
                for (at, &value) in token.iter().enumerate() {
                    let (i, j, channel) = (at / c / p, at / c % p, at % c);
                    image[(channel * h + top + i) * w + left + j] = value;
                }
            }
        }
        images
    }
}

fn corners(h: usize, w: usize, p: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..h / p).flat_map(move |i| (0..w / p).map(move |j| (i * p, j * p)))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], what: &[f64], times: f64) {
    to.iter_mut().zip(what).for_each(|(t, w)| *t += times * w);
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

fn gelu_tanh(x: f64) -> f64 {
    let inner = std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044_715 * x.powi(3));
    0.5 * x * (1.0 + inner.tanh())
}

/// Cosines, then sines, of `t 10000^(-i / 128)`.
fn time_code(t: f64) -> Vec<f64> {
    let angle = |i: i32| t / 10_000f64.powf(f64::from(i) / 128.0);
    let cosines = (0..128).map(move |i| angle(i).cos());
    cosines
        .chain((0..128).map(move |i| angle(i).sin()))
        .collect()
}

/// A quarter of the width each: sines and cosines of the column, then of the row.
fn position(config: &DitConfig, token: usize) -> Vec<f64> {
    let quarter = config.hidden / 4;
    let columns = config.input[2] / config.patch;
    let code = |place: usize| {
        let angle = move |i: usize| place as f64 / 10_000f64.powf(i as f64 / quarter as f64);
        let sines = (0..quarter).map(move |i| angle(i).sin());
        sines.chain((0..quarter).map(move |i| angle(i).cos()))
    };
    code(token % columns).chain(code(token / columns)).collect()
}

/// Layer norm without parameters (epsilon 1e-6), then `x (1 + scale) + shift`, which `of` gives for a row.
fn modulated<'a>(x: &[f64], d: usize, of: impl Fn(usize) -> (&'a [f64], &'a [f64])) -> Vec<f64> {
    let mut out = Vec::with_capacity(x.len());
    for (row, x) in x.chunks(d).enumerate() {
        let (shift, scale) = of(row);
        let mean = x.iter().sum::<f64>() / d as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / d as f64;
        let normed = |i: usize| (x[i] - mean) / (variance + 1e-6).sqrt();
        out.extend((0..d).map(|i| normed(i) * (1.0 + scale[i]) + shift[i]));
    }
    out
}
