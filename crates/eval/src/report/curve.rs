//! Line charts as inline SVG.
//!
//! Each chart is drawn twice, for wide and for narrow screens, because text inside a scaled drawing would
//! not stay readable; the style sheet shows one of them.

use serde::{Deserialize, Serialize};

use super::axis::{Axis, plain};
use super::page::{escape, prose};

/// Lines over a common axis.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Curve {
    /// Text below; also stands in for the chart where it cannot be seen.
    pub caption: String,
    /// What runs to the right, with its unit.
    pub x_label: String,
    /// What runs upwards, with its unit.
    pub y_label: String,
    /// Scale of the vertical axis.
    pub scale: Scale,
    /// The lines, at most eight; further ones reuse the colours.
    pub series: Vec<Series>,
}

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Equal steps are equal differences.
    #[default]
    Linear,
    /// Equal steps are equal ratios; points that are not positive are left out.
    Log,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// (x, y) from left to right. Points that are not finite interrupt the line.
    pub points: Vec<(f64, f64)>,
    /// Draws the points faintly and their moving average on top.
    pub smooth: bool,
}

/// Series with no more points than this get a dot on each.
const DOTTED: usize = 40;
/// Longer lines are thinned to about this many points.
const DRAWN: usize = 800;
const COLOURS: usize = 8;

/// Size and spacing of one drawing, in its own units.
struct Frame {
    class: &'static str,
    width: f64,
    height: f64,
    ticks: usize,
}

const FRAMES: [Frame; 2] = [
    Frame {
        class: "wide",
        width: 720.0,
        height: 320.0,
        ticks: 6,
    },
    Frame {
        class: "narrow",
        width: 360.0,
        height: 270.0,
        ticks: 4,
    },
];
const LEFT: f64 = 52.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 44.0;

/// A series ready to be drawn.
struct Line {
    colour: usize,
    /// Faint line below a smoothed one.
    raw: Vec<(f64, f64)>,
    bold: Vec<(f64, f64)>,
    dots: bool,
}

impl Curve {
    pub(super) fn html(&self) -> String {
        let lines: Vec<Line> = self
            .series
            .iter()
            .enumerate()
            .map(|(i, s)| Line::new(i, s))
            .collect();
        let mut html = String::from("<figure class=\"curve\">\n");
        html += &self.legend(&lines);
        for frame in &FRAMES {
            html += &self.drawing(frame, &lines);
        }
        html + &format!(
            "<figcaption>{}</figcaption>\n</figure>\n",
            prose(&self.caption)
        )
    }

    fn legend(&self, lines: &[Line]) -> String {
        let mut html = String::from("<ul class=\"legend\">");
        for (series, line) in self.series.iter().zip(lines) {
            let last = line.bold.iter().rev().find(|(_, y)| y.is_finite());
            let last = last.map_or(String::new(), |(_, y)| {
                format!(" <span>last {}</span>", plain(*y))
            });
            html += &format!(
                "<li><svg width=\"26\" height=\"10\" aria-hidden=\"true\"><path class=\"line c{}\" d=\"M1 5H25\"/></svg>{}{last}</li>",
                line.colour,
                escape(&series.name)
            );
        }
        html + "</ul>\n"
    }

    fn drawing(&self, frame: &Frame, lines: &[Line]) -> String {
        let Frame {
            class,
            width,
            height,
            ticks,
        } = *frame;
        let mut svg = format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">\n",
            escape(&self.description())
        );
        let bold = || lines.iter().flat_map(|line| &line.bold);
        let axes = Axis::around(bold().map(|p| p.0), Scale::Linear, 0.0).zip(Axis::around(
            bold().map(|p| p.1),
            self.scale,
            0.06,
        ));
        let Some((across, up)) = axes else {
            let (x, y) = (width / 2.0, height / 2.0);
            return svg
                + &format!(
                    "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">no points yet</text></svg>\n"
                );
        };
        let (right, bottom) = (width - RIGHT, height - BOTTOM);
        let x_at = |value| Some(LEFT + across.position(value)? * (right - LEFT));
        let y_at = |value| Some(bottom - up.position(value)? * (bottom - TOP));
        for (value, label) in up.ticks(ticks) {
            if let Some(y) = y_at(value) {
                let text = y + 4.0;
                svg += &format!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
                svg += &format!(
                    "<text x=\"{}\" y=\"{text:.1}\" text-anchor=\"end\">{label}</text>\n",
                    LEFT - 7.0
                );
            }
        }
        for (value, label) in across.ticks(ticks) {
            if let Some(x) = x_at(value) {
                svg += &format!("<path class=\"axis\" d=\"M{x:.1} {bottom}v5\"/>");
                svg += &format!(
                    "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>\n",
                    bottom + 19.0
                );
            }
        }
        svg += &format!("<path class=\"axis\" d=\"M{LEFT} {bottom}H{right}\"/>\n");
        svg += &format!(
            "<text class=\"name\" x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>\n",
            height - 6.0,
            escape(&self.x_label)
        );
        svg += &format!(
            "<text class=\"name\" x=\"0\" y=\"13\">{}</text>\n",
            escape(&self.y_label)
        );
        // A nested svg clips what runs out of the range: the first, large losses of the faint line.
        let (w, h) = (right - LEFT + 8.0, bottom - TOP);
        svg += &format!(
            "<svg x=\"{}\" y=\"{TOP}\" width=\"{w}\" height=\"{h}\">\n",
            LEFT - 4.0
        );
        let place = |&(x, y): &(f64, f64)| Some((x_at(x)? - LEFT + 4.0, y_at(y)? - TOP));
        for line in lines {
            svg += &path("raw", line.colour, line.raw.iter().map(place));
        }
        for line in lines {
            svg += &path("line", line.colour, line.bold.iter().map(place));
            for (x, y) in line.bold.iter().filter(|_| line.dots).filter_map(place) {
                svg += &format!(
                    "<circle class=\"c{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>",
                    line.colour
                );
            }
        }
        svg + "</svg></svg>\n"
    }

    fn description(&self) -> String {
        let names: Vec<&str> = self
            .series
            .iter()
            .map(|series| series.name.as_str())
            .collect();
        format!(
            "chart of {} over {}: {}",
            self.y_label,
            self.x_label,
            names.join(", ")
        )
    }
}

impl Line {
    fn new(index: usize, series: &Series) -> Self {
        let (raw, bold) = if series.smooth {
            (thinned(&series.points), thinned(&averaged(&series.points)))
        } else {
            (Vec::new(), thinned(&series.points))
        };
        Self {
            colour: index % COLOURS,
            dots: !series.smooth && bold.len() <= DOTTED,
            raw,
            bold,
        }
    }
}

/// Moving average over a centred window of about 1/30 of the points. At the start, where losses fall steeply, the
/// window shrinks on both sides alike; at the end it is cut, so that the last value is an average too.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let reach = points.len() / 60;
    let mean = |(index, &(x, _)): (usize, &(f64, f64))| {
        let reach = reach.min(index);
        let window = &points[index - reach..points.len().min(index + reach + 1)];
        (
            x,
            window.iter().map(|(_, y)| y).sum::<f64>() / window.len() as f64,
        )
    };
    points.iter().enumerate().map(mean).collect()
}

/// Every k-th point, and the last.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let every = points.len().div_ceil(DRAWN).max(1);
    let last = points.len().saturating_sub(1);
    let kept = points
        .iter()
        .enumerate()
        .filter(|(index, _)| index % every == 0 || *index == last);
    kept.map(|(_, point)| *point).collect()
}

/// A polyline that starts anew after each missing point.
fn path(class: &str, colour: usize, points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let mut data = String::new();
    let mut command = 'M';
    for point in points {
        command = match point {
            Some((x, y)) => {
                data += &format!("{command}{x:.1} {y:.1}");
                'L'
            }
            None => 'M',
        };
    }
    if data.is_empty() {
        return data;
    }
    format!("<path class=\"{class} c{colour}\" d=\"{data}\"/>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_keeps_a_straight_line_and_shrinks_noise() {
        let line: Vec<(f64, f64)> = (0..300)
            .map(|x| (f64::from(x), 2.0 * f64::from(x)))
            .collect();
        let same = |(a, b): (&(f64, f64), &(f64, f64))| (a.1 - b.1).abs() < 1e-9;
        assert!(averaged(&line).iter().zip(&line).take(295).all(same));
        let zigzag: Vec<(f64, f64)> = (0..300).map(|x| (f64::from(x), f64::from(x % 2))).collect();
        assert!(
            averaged(&zigzag)[20..]
                .iter()
                .all(|(_, y)| (y - 0.5).abs() < 0.1)
        );
        assert!(averaged(&[]).is_empty());
    }

    #[test]
    fn long_lines_are_thinned_but_end_at_the_last_point() {
        let long: Vec<(f64, f64)> = (0..10_001).map(|x| (f64::from(x), 0.0)).collect();
        let short = thinned(&long);
        assert!(short.len() <= DRAWN + 1);
        assert_eq!(short.last(), long.last());
    }

    #[test]
    fn a_gap_interrupts_the_line_and_an_empty_chart_says_so() {
        let points = [Some((0.0, 1.0)), None, Some((2.0, 1.0)), Some((3.0, 1.0))];
        assert_eq!(
            path("line", 0, points.into_iter()),
            "<path class=\"line c0\" d=\"M0.0 1.0M2.0 1.0L3.0 1.0\"/>\n"
        );
        assert!(Curve::default().html().contains("no points yet"));
        let nan = Series {
            points: vec![(0.0, f64::NAN)],
            ..Series::default()
        };
        assert!(
            Curve {
                series: vec![nan],
                ..Curve::default()
            }
            .html()
            .contains("no points yet")
        );
    }
}
