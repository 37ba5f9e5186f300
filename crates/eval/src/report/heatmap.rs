//! Heat maps as tables: every cell shows its number, on a ground that grows darker with it.
//!
//! The ramp is one hue from light to dark, so it reads the same in grey and for colour-blind people.

use serde::{Deserialize, Serialize};

use super::page::escape;

/// Numbers in labelled rows and columns, shaded by size.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HeatMap {
    /// Text below.
    pub caption: String,
    /// Labels above the columns.
    pub columns: Vec<String>,
    /// Label and numbers of each row; what is not finite stays blank, past the header nothing is shown.
    pub rows: Vec<(String, Vec<f64>)>,
    /// The numbers that are lightest and darkest; without it, the smallest and largest there are.
    pub range: Option<(f64, f64)>,
    /// Digits after the point.
    pub digits: usize,
}

/// Ground of the smallest number and of the largest.
const LIGHT: [f64; 3] = [247.0, 251.0, 255.0];
const DARK: [f64; 3] = [8.0, 48.0, 107.0];
/// From here on white text has more contrast than black.
const WHITE_TEXT: f64 = 0.65;

impl HeatMap {
    pub(super) fn html(&self) -> String {
        let mut html = String::from(
            "<figure class=\"heat\">\n<div class=\"table\"><table>\n<thead><tr><td></td>",
        );
        for column in &self.columns {
            html += &format!("<th scope=\"col\">{}</th>", escape(column));
        }
        html += "</tr></thead>\n<tbody>\n";
        let range = self.range.unwrap_or_else(|| self.extremes());
        for (label, numbers) in &self.rows {
            html += &format!("<tr><th scope=\"row\">{}</th>", escape(label));
            for (column, &number) in self.columns.iter().zip(numbers) {
                html += &self.cell(label, column, number, range);
            }
            html += "</tr>\n";
        }
        html + &format!(
            "</tbody></table></div>\n<figcaption>{}</figcaption>\n</figure>\n",
            escape(&self.caption)
        )
    }

    fn cell(&self, row: &str, column: &str, number: f64, range: (f64, f64)) -> String {
        if !number.is_finite() {
            return "<td></td>".into();
        }
        let depth = depth(number, range);
        let [r, g, b] = ground(depth);
        let text = if depth < WHITE_TEXT { "#000" } else { "#fff" };
        let title = format!("{}, {}: {number}", escape(row), escape(column));
        let mut shown = format!("{number:.*}", self.digits);
        if shown.chars().all(|c| "-0.".contains(c)) {
            // a negative number that rounds to zero
            shown = shown.replace('-', "");
        }
        format!(
            "<td style=\"background:rgb({r} {g} {b});color:{text}\" title=\"{title}\">{shown}</td>"
        )
    }

    fn extremes(&self) -> (f64, f64) {
        let all = self.rows.iter().flat_map(|row| &row.1).copied();
        let finite = all.filter(|number| number.is_finite());
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), n| {
            (low.min(n), high.max(n))
        })
    }
}

/// Where a number lies in the range, 0 to 1.
fn depth(number: f64, (low, high): (f64, f64)) -> f64 {
    match high > low {
        true => ((number - low) / (high - low)).clamp(0.0, 1.0),
        false => 0.0,
    }
}

fn ground(depth: f64) -> [u8; 3] {
    [0, 1, 2].map(|i| (LIGHT[i] + depth * (DARK[i] - LIGHT[i])).round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance and contrast after WCAG 2.2.
    fn luminance(colour: [u8; 3]) -> f64 {
        let linear = |c: u8| match f64::from(c) / 255.0 {
            c if c <= 0.04045 => c / 12.92,
            c => ((c + 0.055) / 1.055).powf(2.4),
        };
        0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2])
    }

    #[test]
    fn grounds_grow_darker_and_text_stays_readable() {
        let mut before = f64::INFINITY;
        for i in 0..=100 {
            let depth = f64::from(i) / 100.0;
            let ground = luminance(ground(depth));
            assert!(ground < before, "{depth}");
            before = ground;
            let contrast = match depth < WHITE_TEXT {
                true => (ground + 0.05) / 0.05,
                false => 1.05 / (ground + 0.05),
            };
            assert!(contrast >= 4.5, "{depth}: {contrast}");
        }
    }

    #[test]
    fn cells_carry_numbers_and_what_is_not_finite_is_blank() {
        let map = HeatMap {
            columns: vec!["a".into(), "b".into()],
            rows: vec![
                ("x".into(), vec![1.0, f64::NAN]),
                ("y".into(), vec![3.25, 2.0]),
                ("z".into(), vec![-0.04, 1.5]),
            ],
            digits: 1,
            ..HeatMap::default()
        };
        let html = map.html();
        assert!(html.contains("rgb(247 251 255);color:#000\" title=\"z, a: -0.04\">0.0</td>"));
        assert!(html.contains("rgb(8 48 107);color:#fff\" title=\"y, a: 3.25\">3.2</td>"));
        assert!(html.contains("<td></td></tr>"));
    }
}
