//! Ranges, ticks and tick labels of an axis.

use super::curve::Scale;

/// A visible range and how it maps to [0, 1].
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    /// An axis that shows all of `values` with `margin` (a share of the range) to spare. On a logarithmic
    /// axis values that are not positive do not count. None if nothing is left.
    pub(super) fn around(
        values: impl Iterator<Item = f64>,
        scale: Scale,
        margin: f64,
    ) -> Option<Self> {
        let shown = values.filter(|&value| visible(value, scale));
        let (low, high) = shown
            .map(|value| scaled(value, scale))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v), high.max(v))
            });
        if low > high {
            return None;
        }
        let width = high - low;
        // A single value, or values that differ by rounding only, get a range around them.
        let spare = if width > 1e-9 * low.abs().max(high.abs()) {
            width * margin
        } else {
            (low.abs() * 0.05).max(if low == 0.0 { 0.5 } else { 1e-300 })
        };
        Some(Self {
            scale,
            low: low - spare,
            high: high + spare,
        })
    }

    /// Position of `value`, 0 at the lower and 1 at the upper end; none if it has no position.
    pub(super) fn position(&self, value: f64) -> Option<f64> {
        let position = (scaled(value, self.scale) - self.low) / (self.high - self.low);
        (visible(value, self.scale) && position.is_finite()).then_some(position)
    }

    /// At most about `most` round values inside the range, with their labels.
    pub(super) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        if self.scale == Scale::Log {
            for mantissas in [
                [1.0, 1.5, 2.0, 3.0, 5.0, 7.0].as_slice(),
                &[1.0, 2.0, 5.0],
                &[1.0],
            ] {
                let ticks = self.log_ticks(mantissas);
                if (3..=most.max(3)).contains(&ticks.len()) {
                    return ticks.into_iter().map(|tick| (tick, plain(tick))).collect();
                }
            }
        }
        self.even_ticks(most)
    }

    fn log_ticks(&self, mantissas: &[f64]) -> Vec<f64> {
        let decades = (self.low.floor() as i32)..=(self.high.floor() as i32);
        if decades.clone().count() > 40 {
            return Vec::new();
        }
        let all = decades.flat_map(|decade| mantissas.iter().map(move |m| m * 10_f64.powi(decade)));
        all.filter(|tick| (self.low..=self.high).contains(&tick.log10()))
            .collect()
    }

    /// Multiples of 1, 2 or 5 times a power of ten.
    fn even_ticks(&self, most: usize) -> Vec<(f64, String)> {
        let ends = [self.low, self.high].map(|end| unscaled(end, self.scale));
        let rough = (ends[1] - ends[0]) / most.max(2) as f64;
        if !(rough.is_finite() && rough > 0.0) {
            return Vec::new();
        }
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|m| m * power)
            .into_iter()
            .find(|&step| step >= rough);
        let step = step.unwrap_or(10.0 * power);
        let first = (ends[0] / step - 1e-9).ceil();
        (0..=2 * most)
            .map(|index| (first + index as f64) * step)
            .take_while(|&tick| tick <= ends[1] + step * 1e-9)
            .map(|tick| (tick, label(tick, step)))
            .collect()
    }
}

fn visible(value: f64, scale: Scale) -> bool {
    value.is_finite() && (scale == Scale::Linear || value > 0.0)
}

fn scaled(value: f64, scale: Scale) -> f64 {
    if scale == Scale::Log {
        value.log10()
    } else {
        value
    }
}

fn unscaled(value: f64, scale: Scale) -> f64 {
    if scale == Scale::Log {
        10_f64.powf(value)
    } else {
        value
    }
}

/// A tick's text, with the decimals that tell it from the next one a `step` away.
fn label(tick: f64, step: f64) -> String {
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    if decimals > 6 || tick.abs() >= 1e9 {
        return format!("{tick:.2e}");
    }
    let text = format!("{:.decimals$}", tick.abs());
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text.as_str(), ""), |(w, f)| (w, f));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let minus = if tick < -step * 1e-9 { "\u{2212}" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{minus}{grouped}{point}{fraction}")
}

/// A positive number with up to three significant digits and no trailing zeros.
pub(super) fn plain(value: f64) -> String {
    if !(1e-4..1e6).contains(&value.abs()) && value != 0.0 {
        return format!("{value:.2e}");
    }
    let decimals = (2.0 - value.abs().max(1e-4).log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.decimals$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: [f64; 2], scale: Scale, most: usize) -> Vec<String> {
        let axis = Axis::around(values.into_iter(), scale, 0.0).unwrap();
        axis.ticks(most)
            .into_iter()
            .map(|(_, label)| label)
            .collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(
            labels([0.0, 1000.0], Scale::Linear, 5),
            ["0", "200", "400", "600", "800", "1,000"]
        );
        assert_eq!(
            labels([-0.1, 0.1], Scale::Linear, 4),
            ["\u{2212}0.10", "\u{2212}0.05", "0.00", "0.05", "0.10"]
        );
        assert_eq!(
            labels([0.1, 1.0], Scale::Log, 7),
            ["0.1", "0.15", "0.2", "0.3", "0.5", "0.7", "1"]
        );
        assert_eq!(
            labels([1e-4, 1.0], Scale::Log, 6),
            ["0.0001", "0.001", "0.01", "0.1", "1"]
        );
        // Too narrow for powers of ten: evenly spaced values on the logarithmic axis.
        assert_eq!(
            labels([0.13, 0.16], Scale::Log, 4),
            ["0.13", "0.14", "0.15", "0.16"]
        );
    }

    #[test]
    fn odd_ranges_stay_usable() {
        assert!(Axis::around([f64::NAN, f64::INFINITY].into_iter(), Scale::Linear, 0.1).is_none());
        assert!(Axis::around([0.0, -1.0].into_iter(), Scale::Log, 0.1).is_none());
        for value in [0.0, 3.0, -1e300, 1e-300] {
            let axis = Axis::around([value; 2].into_iter(), Scale::Linear, 0.05).unwrap();
            assert!(
                (axis.position(value).unwrap() - 0.5).abs() < 1e-6,
                "{value}"
            );
            assert!(axis.ticks(5).len() < 12);
        }
        let wide = Axis::around([1e-300, 1e300].into_iter(), Scale::Log, 0.05).unwrap();
        assert!(wide.ticks(6).len() < 20);
    }
}
