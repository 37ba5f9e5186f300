//! Heat maps as tables: every cell shows its number, on a ground that is white at one number and the stronger the further
//! from it.
//!
//! Numbers above white are blue, those below orange, two hues that colour-blind people tell apart. How far the colours
//! reach is printed below: never less than whoever made the map asks for, so that noise stays pale.

use serde::{Deserialize, Serialize};

use super::page::{escape, prose};
use super::table::ROOM;

/// Numbers in labelled rows and columns, shaded by their distance from one of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HeatMap {
    /// Text below.
    pub caption: String,
    /// Labels above the columns.
    pub columns: Vec<String>,
    /// Label and numbers of each row; what is not finite stays blank, past the header nothing is shown.
    pub rows: Vec<(String, Vec<f64>)>,
    /// The number that is white.
    pub white: f64,
    /// The least distance from `white` that has full colour; the furthest number has, if it is further.
    pub full: f64,
    /// Digits after the point.
    pub digits: usize,
}

/// Full colour above white and below it.
const ABOVE: [f64; 3] = [8.0, 48.0, 107.0];
const BELOW: [f64; 3] = [127.0, 39.0, 4.0];
/// What a character, the space around a number and a cell without one take, in pixels.
const CHARACTER: f64 = 8.2;
const AROUND: f64 = 12.0;

impl HeatMap {
    pub(super) fn html(&self) -> String {
        let layout = self.layout();
        let mut html = format!(
            "<figure class=\"heat\">\n<div class=\"table\"><table{}>\n<thead><tr><td></td>",
            match layout {
                Layout::Plain => "",
                Layout::Upright => " class=\"upright\"",
                Layout::Colours => " class=\"upright colours\"",
            }
        );
        for column in &self.columns {
            html += &format!("<th scope=\"col\"><span>{}</span></th>", escape(column));
        }
        html += "</tr></thead>\n<tbody>\n";
        let reach = self.reach();
        for (label, numbers) in &self.rows {
            html += &format!("<tr><th scope=\"row\">{}</th>", escape(label));
            for (column, &number) in self.columns.iter().zip(numbers) {
                html += &self.cell((label, column), number, reach, layout);
            }
            html += "</tr>\n";
        }
        html + &format!(
            "</tbody></table></div>\n<figcaption>{} {}</figcaption>\n</figure>\n",
            prose(&self.caption),
            self.key(reach)
        )
    }

    fn cell(&self, (row, column): (&str, &str), number: f64, reach: f64, layout: Layout) -> String {
        if !number.is_finite() {
            return "<td></td>".into();
        }
        let ground = ground(self.depth(number, reach));
        let title = format!("{}, {}: {number}", escape(row), escape(column));
        let shown = match layout {
            Layout::Colours => String::new(),
            _ => self.text(number),
        };
        format!(
            "<td style=\"{}\" title=\"{title}\">{shown}</td>",
            style(ground)
        )
    }

    fn text(&self, number: f64) -> String {
        let shown = format!("{number:.*}", self.digits);
        match shown.chars().all(|c| "-0.".contains(c)) {
            // a negative number that rounds to zero
            true => shown.replace('-', ""),
            false => shown.replace('-', "\u{2212}"),
        }
    }

    /// What the colours mean: a swatch at white and at each end that is in use.
    fn key(&self, reach: f64) -> String {
        let finite = || {
            self.rows
                .iter()
                .flat_map(|row| &row.1)
                .filter(|n| n.is_finite())
        };
        let below = finite().any(|&n| n < self.white).then_some(-1.0);
        let above = finite().any(|&n| n > self.white).then_some(1.0);
        let ends = below.into_iter().chain([0.0]).chain(above);
        let swatch = |depth: f64| {
            let number = self.text(self.white + depth * reach);
            format!(
                "<span class=\"swatch\" style=\"{}\">{number}</span>",
                style(ground(depth))
            )
        };
        let swatches: String = ends.map(swatch).collect();
        format!("<span class=\"key\">Colours: {swatches}</span>")
    }

    /// Distance from white at which colours are full.
    fn reach(&self) -> f64 {
        let all = self.rows.iter().flat_map(|row| &row.1);
        let distances = all.map(|number| (number - self.white).abs());
        distances
            .filter(|d| d.is_finite())
            .fold(self.full.max(0.0), f64::max)
    }

    /// Where a number lies between full orange, -1, and full blue, 1.
    fn depth(&self, number: f64, reach: f64) -> f64 {
        match reach > 0.0 {
            true => ((number - self.white) / reach).clamp(-1.0, 1.0),
            false => 0.0,
        }
    }

    fn layout(&self) -> Layout {
        let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0) as f64;
        let labels = longest(&mut self.rows.iter().map(|row| row.0.chars().count()));
        let numbers = self.rows.iter().flat_map(|row| &row.1);
        let numbers = longest(&mut numbers.map(|&number| self.text(number).chars().count()));
        let heads = longest(&mut self.columns.iter().map(|column| column.chars().count()));
        let fits = |characters: f64| {
            let columns = self.columns.len() as f64 * (CHARACTER * characters + AROUND);
            CHARACTER * labels + AROUND + columns <= ROOM
        };
        match (fits(numbers.max(heads)), fits(numbers)) {
            (true, _) => Layout::Plain,
            (_, true) => Layout::Upright,
            _ => Layout::Colours,
        }
    }
}

/// How much room there is: all, none for heads beside each other, or none for numbers either.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Plain,
    Upright,
    Colours,
}

/// The colour of a depth from -1 to 1; 0 is white.
fn ground(depth: f64) -> [u8; 3] {
    let full = if depth < 0.0 { BELOW } else { ABOVE };
    full.map(|channel| (255.0 + depth.abs() * (channel - 255.0)).round() as u8)
}

/// Ground and text, black or white, whichever can be read better on it.
fn style(colour @ [r, g, b]: [u8; 3]) -> String {
    let ground = luminance(colour);
    let black = (ground + 0.05) / 0.05 >= 1.05 / (ground + 0.05);
    let text = if black { "#000" } else { "#fff" };
    format!("background:rgb({r} {g} {b});color:{text}")
}

/// Relative luminance after WCAG 2.2; contrast is the ratio of two of them, 0.05 added to each.
fn luminance(colour: [u8; 3]) -> f64 {
    let [r, g, b] = colour.map(|c| match f64::from(c) / 255.0 {
        c if c <= 0.04045 => c / 12.92,
        c => ((c + 0.055) / 1.055).powf(2.4),
    });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grounds_grow_darker_and_text_stays_readable() {
        for sign in [-1.0, 1.0] {
            let mut before = f64::INFINITY;
            for i in 0..=100 {
                let depth = sign * f64::from(i) / 100.0;
                let colour = ground(depth);
                let ground = luminance(colour);
                assert!(ground < before, "{depth}");
                before = ground;
                let contrast = match style(colour).ends_with("#000") {
                    true => (ground + 0.05) / 0.05,
                    false => 1.05 / (ground + 0.05),
                };
                assert!(contrast >= 4.5, "{depth}: {contrast}");
            }
        }
    }

    fn map(numbers: &[f64], full: f64) -> HeatMap {
        HeatMap {
            columns: numbers.iter().map(|n| format!("at {n}")).collect(),
            rows: vec![("x".into(), numbers.to_vec())],
            full,
            digits: 3,
            ..HeatMap::default()
        }
    }

    /// What `inspect --diversion` once drew in darkest blue.
    #[test]
    fn zero_is_white_signs_have_hues_and_noise_stays_pale() {
        let html = map(&[-0.0171, -0.0009, 0.0, 0.025, 0.5], 0.5).html();
        for (number, colour) in [
            ("-0.0171", "251 248 246"),
            ("-0.0009", "255 255 255"),
            ("0", "255 255 255"),
            ("0.025", "243 245 248"),
            ("0.5", "8 48 107"),
        ] {
            let cell = format!(
                "rgb({colour});color:#{}\" title=\"x, at {number}: ",
                if number == "0.5" { "fff" } else { "000" }
            );
            assert!(html.contains(&cell), "{number}: {html}");
        }
        // Numbers that are larger than foreseen stretch the colours, on both sides alike, and the key says so.
        let wide = map(&[-2.0, 0.0, 1.0], 0.5).html();
        assert!(
            wide.contains("rgb(127 39 4);color:#fff\" title=\"x, at -2: "),
            "{wide}"
        );
        assert!(
            wide.contains("rgb(132 152 181);color:#000\" title=\"x, at 1: "),
            "{wide}"
        );
        for number in ["\u{2212}2.000</span>", "0.000</span>", ">2.000</span>"] {
            assert!(wide.contains(number), "{number}: {wide}");
        }
    }

    #[test]
    fn white_can_be_another_number_and_a_flat_map_is_white() {
        let anchored = HeatMap {
            white: 1.0,
            ..map(&[1.0, 3.0], 0.0)
        }
        .html();
        assert!(anchored.contains("rgb(255 255 255);color:#000\" title=\"x, at 1: "));
        assert!(anchored.contains("rgb(8 48 107);color:#fff\" title=\"x, at 3: "));
        assert!(
            !anchored.contains(">\u{2212}"),
            "no end of the key that is not in use"
        );
        let flat = map(&[0.0, 0.0], 0.0).html();
        assert_eq!(flat.matches("rgb(255 255 255)").count(), 3);
    }

    #[test]
    fn cells_carry_numbers_and_what_is_not_finite_is_blank() {
        let map = HeatMap {
            columns: vec!["a".into(), "b".into()],
            rows: vec![
                ("x".into(), vec![1.0, f64::NAN]),
                ("y".into(), vec![3.25, f64::INFINITY]),
                ("z".into(), vec![-0.04, -1.5]),
            ],
            digits: 1,
            ..HeatMap::default()
        };
        let html = map.html();
        assert!(html.contains("title=\"z, a: -0.04\">0.0</td>"));
        assert!(html.contains("title=\"z, b: -1.5\">\u{2212}1.5</td>"));
        assert!(html.contains("rgb(8 48 107);color:#fff\" title=\"y, a: 3.25\">3.2</td>"));
        assert_eq!(html.matches("<td></td></tr>").count(), 2);
    }

    #[test]
    fn many_columns_turn_their_heads_and_then_leave_their_numbers_out() {
        let wide = |count: usize| HeatMap {
            columns: vec!["building".into(); count],
            rows: vec![("building".into(), vec![0.125; count])],
            digits: 3,
            ..HeatMap::default()
        };
        for (count, layout) in [
            (3, Layout::Plain),
            (12, Layout::Upright),
            (17, Layout::Upright),
            (40, Layout::Colours),
        ] {
            assert_eq!(wide(count).layout(), layout, "{count}");
        }
        assert!(
            wide(40)
                .html()
                .contains("title=\"building, building: 0.125\"></td>")
        );
    }
}
