//! Tables: the model, how a cell is aligned, and the table of rates.

use serde::{Deserialize, Serialize};

use super::page::{escape, prose};
use crate::doubts::is_reliable;
use crate::rates::{Rate, Rates};

/// A table. Columns whose cells all look like numbers are aligned to the right.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    /// Text above the table; may be empty.
    pub caption: String,
    /// Header.
    pub columns: Vec<String>,
    /// Cells; a short row is filled up, cells past the header are not shown.
    pub rows: Vec<Vec<String>>,
    /// Sets off the last row, as a sum or a mean of those above.
    pub total: bool,
    /// Columns that name a row, 0 counting as 1: a table too wide for a page goes on below with these repeated.
    pub keys: usize,
}

/// Pixels that a page of 1,100 has for a table.
pub(super) const ROOM: f64 = 1000.0;
/// What a character takes at most, and the space between two columns.
const CHARACTER: f64 = 8.8;
const BETWEEN: f64 = 18.0;
/// Characters in a line of a cell of text, which may have several.
const LINE: usize = 22;

impl Table {
    /// One row per class and one for all, with share, interval and count for each named set of rates.
    /// Classes beyond those of a set stay empty.
    pub fn of_rates(caption: &str, classes: &[String], sets: &[(&str, &Rates)]) -> Self {
        let mut columns = vec!["class".to_owned()];
        for (name, _) in sets {
            columns.extend([(*name).to_owned(), "95 % (n)".to_owned()]);
        }
        let row = |name: &str, pick: &dyn Fn(&Rates) -> Option<Rate>| {
            let cells = sets
                .iter()
                .flat_map(|(_, rates)| pick(rates).map_or_else(blank, cells));
            std::iter::once(name.to_owned()).chain(cells).collect()
        };
        let mut rows: Vec<Vec<String>> = classes
            .iter()
            .enumerate()
            .map(|(class, name)| row(name, &|rates| rates.per_class.get(class).copied()))
            .collect();
        rows.push(row("all", &|rates| Some(rates.overall)));
        Self {
            caption: caption.to_owned(),
            columns,
            rows,
            total: true,
            keys: 1,
        }
    }

    /// What a probe says of drawn images, beside how far it can be believed: class by class its rate on real test images, on
    /// each named set of drawn ones, and what it takes those of the last set for most often.
    pub fn of_probe(
        caption: &str,
        classes: &[String],
        real: &Rates,
        drawn: &[(&str, &Rates)],
    ) -> Self {
        let sets: Vec<&Rates> = drawn.iter().map(|(_, rates)| *rates).collect();
        let last = sets.last();
        let counted = |rate: &Rate| match rate.rate {
            Some(share) => format!("{share:.2} ({} of {})", rate.hits, rate.count),
            None => "\u{2013}".to_owned(),
        };
        let within = |rate: &Rate| match rate.rate {
            Some(share) => format!("{share:.2} ({:.2}\u{2013}{:.2})", rate.low, rate.high),
            None => "\u{2013}".to_owned(),
        };
        let line = |(class, name): (usize, &String)| {
            let of = |rates: &Rates| {
                rates
                    .per_class
                    .get(class)
                    .copied()
                    .unwrap_or(Rate::new(0, 0))
            };
            let mostly = last.and_then(|rates| rates.mostly(class));
            let mostly = mostly
                .and_then(|(other, count)| Some(format!("{} ({count})", classes.get(other)?)));
            let reliable = is_reliable(&of(real));
            let doubt = if reliable {
                ""
            } else {
                "probe unreliable here"
            };
            let rates = sets.iter().map(|rates| within(&of(rates)));
            let named = [name.clone(), counted(&of(real))].into_iter().chain(rates);
            named
                .chain([mostly.unwrap_or_default(), doubt.to_owned()])
                .collect()
        };
        let mut rows: Vec<Vec<String>> = classes.iter().enumerate().map(line).collect();
        let all = ["all".to_owned(), counted(&real.overall)].into_iter();
        let all = all.chain(sets.iter().map(|rates| within(&rates.overall)));
        rows.push(all.chain([String::new(), String::new()]).collect());
        let heads = ["class".to_owned(), "real images".to_owned()].into_iter();
        let heads = heads.chain(drawn.iter().map(|(name, _)| (*name).to_owned()));
        Self {
            caption: caption.to_owned(),
            columns: heads
                .chain(["mostly taken for".to_owned(), String::new()])
                .collect(),
            rows,
            total: true,
            keys: 1,
        }
    }

    /// The table with rows as columns. The head of the first column stays; nothing is set off.
    #[must_use]
    pub fn turned(self) -> Self {
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        let head = std::iter::once(cell(&self.columns, 0));
        let line = |(column, name): (usize, &String)| {
            let cells = self.rows.iter().map(|row| cell(row, column));
            std::iter::once(name.clone()).chain(cells).collect()
        };
        Self {
            columns: head
                .chain(self.rows.iter().map(|row| cell(row, 0)))
                .collect(),
            rows: self.columns.iter().enumerate().skip(1).map(line).collect(),
            caption: self.caption,
            ..Self::default()
        }
    }

    /// Numbers of the columns of each part that a page has room for.
    fn parts(&self, numeric: &[bool]) -> Vec<Vec<usize>> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let word = |text: &String| {
                text.split(' ')
                    .map(|w| w.chars().count())
                    .max()
                    .unwrap_or(0)
            };
            let whole = cells
                .clone()
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0);
            let words = cells.map(word).max().unwrap_or(0);
            let body = if numeric[column] {
                whole
            } else {
                words.max(whole.min(LINE))
            };
            body.max(word(&self.columns[column])) as f64 * CHARACTER + BETWEEN
        };
        let keys = self.keys.clamp(1, self.columns.len().max(1));
        let named: f64 = (0..keys.min(self.columns.len())).map(width).sum();
        let mut parts: Vec<Vec<usize>> = Vec::new();
        let mut room = 0.0;
        for column in keys..self.columns.len() {
            if parts.is_empty() || width(column) > room {
                parts.push((0..keys).collect());
                room = ROOM - named;
            }
            room -= width(column);
            if let Some(part) = parts.last_mut() {
                part.push(column);
            }
        }
        match parts.is_empty() {
            true => vec![(0..self.columns.len()).collect()],
            false => parts,
        }
    }

    pub(super) fn html(&self) -> String {
        let numeric: Vec<bool> = (0..self.columns.len())
            .map(|column| self.is_numeric(column))
            .collect();
        let class = |column: usize| {
            if numeric[column] {
                " class=\"number\""
            } else {
                ""
            }
        };
        let mut html = String::from("<figure class=\"numbers\">\n");
        if !self.caption.is_empty() {
            html += &format!("<figcaption>{}</figcaption>\n", prose(&self.caption));
        }
        let total = if self.total { " class=\"total\"" } else { "" };
        for part in self.parts(&numeric) {
            html += &format!("<div class=\"table\"><table{total}>\n<thead><tr>");
            for &column in &part {
                let name = escape(&self.columns[column]);
                html += &format!("<th scope=\"col\"{}>{name}</th>", class(column));
            }
            html += "</tr></thead>\n<tbody>\n";
            for row in &self.rows {
                html += "<tr>";
                for &column in &part {
                    let cell = escape(row.get(column).map_or("", String::as_str));
                    html += &match column {
                        0 => format!("<th scope=\"row\"{}>{cell}</th>", class(0)),
                        _ => format!("<td{}>{cell}</td>", class(column)),
                    };
                }
                html += "</tr>\n";
            }
            html += "</tbody>\n</table></div>\n";
        }
        html + "</figure>\n"
    }

    /// Whether the column holds at least one number and no other text.
    fn is_numeric(&self, column: usize) -> bool {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let mut filled = cells.filter(|cell| !is_blank(cell)).peekable();
        filled.peek().is_some() && filled.all(|cell| is_number(cell))
    }
}

fn cells(rate: Rate) -> Vec<String> {
    let Some(share) = rate.rate else {
        return blank();
    };
    vec![
        format!("{share:.2}"),
        format!("{:.2}\u{2013}{:.2} ({})", rate.low, rate.high, rate.count),
    ]
}

fn blank() -> Vec<String> {
    vec!["\u{2013}".to_owned(); 2]
}

fn is_blank(cell: &str) -> bool {
    matches!(cell.trim(), "" | "-" | "\u{2013}" | "\u{2014}")
}

/// A digit right after an optional sign, as in `0.14`, `+5 %`, `\u{2212}3`, `1,024 B` or `0.64\u{2013}0.95`.
fn is_number(cell: &str) -> bool {
    let sign = [
        '+', '-', '\u{2212}', '\u{b1}', '~', '<', '>', '\u{2264}', '\u{2265}', '\u{d7}', '.', ' ',
    ];
    cell.trim_start_matches(sign)
        .starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(column: &[&str]) -> Table {
        Table {
            columns: vec!["x".to_owned()],
            rows: column.iter().map(|cell| vec![(*cell).to_owned()]).collect(),
            ..Table::default()
        }
    }

    #[test]
    fn number_columns_are_recognised() {
        assert!(table(&["0.14", "+5 %", "\u{2013}", "\u{2212}3", "1,024 B", ""]).is_numeric(0));
        assert!(!table(&["0.14", "none"]).is_numeric(0));
        assert!(!table(&["", "-"]).is_numeric(0));
    }

    #[test]
    fn ragged_rows_keep_the_grid() {
        let mut ragged = table(&["1"]);
        ragged.rows[0].push("past the header".to_owned());
        ragged.rows.push(Vec::new());
        let html = ragged.html();
        assert!(!html.contains("past the header"));
        assert_eq!(html.matches("scope=\"row\"").count(), 2);
    }

    #[test]
    fn a_table_too_wide_for_a_page_goes_on_below_with_its_keys() {
        let wide = |columns: usize, keys| Table {
            columns: (0..columns).map(|i| format!("column {i}")).collect(),
            rows: vec![vec!["0.1234 \u{b1} 0.0012".to_owned(); columns]; 2],
            keys,
            ..Table::default()
        };
        assert_eq!(wide(6, 0).parts(&[true; 6]), [[0, 1, 2, 3, 4, 5]]);
        // Nine columns of fifteen characters are 1,350 pixels.
        let parts = wide(9, 2).parts(&[true; 9]);
        assert_eq!(parts, [vec![0, 1, 2, 3, 4, 5], vec![0, 1, 6, 7, 8]]);
        let html = wide(9, 2).html();
        assert_eq!(html.matches("<table").count(), 2);
        assert_eq!(html.matches("column 1<").count(), 2);
        assert_eq!(html.matches("<figure").count(), 1);
        // Keys alone, and nothing at all, stay as they are.
        assert_eq!(wide(1, 3).parts(&[true]), [[0]]);
        assert_eq!(Table::default().parts(&[]), [[0_usize; 0]]);
    }

    #[test]
    fn what_a_probe_says_stands_beside_how_far_it_can_be_believed() {
        let real = Rates::new(&[0, 0, 0, 1, 1], &[0, 0, 0, 1, 0], 2).unwrap();
        let drawn = Rates::new(&[0, 0, 1, 1], &[0, 1, 0, 0], 2).unwrap();
        let names = ["a", "b", "c"].map(str::to_owned);
        let table = Table::of_probe("", &names, &real, &[("drawn", &drawn)]);
        assert_eq!(
            table.rows[0],
            ["a", "1.00 (3 of 3)", "0.50 (0.09\u{2013}0.91)", "a (1)", ""]
        );
        assert_eq!(
            table.rows[1],
            [
                "b",
                "0.50 (1 of 2)",
                "0.00 (0.00\u{2013}0.66)",
                "a (2)",
                "probe unreliable here"
            ]
        );
        assert_eq!(table.rows[2][1..4], ["\u{2013}", "\u{2013}", ""]);
        assert_eq!(
            table.rows[3][..3],
            ["all", "0.80 (4 of 5)", "0.25 (0.05\u{2013}0.70)"]
        );
    }

    #[test]
    fn a_turned_table_has_the_same_cells() {
        let table = Table {
            columns: ["row", "a", "b"].map(String::from).to_vec(),
            rows: vec![
                ["x", "1", "2"].map(String::from).to_vec(),
                vec!["y".into(), "3".into()],
            ],
            ..Table::default()
        };
        let turned = table.turned();
        assert_eq!(turned.columns, ["row", "x", "y"]);
        assert_eq!(turned.rows, [["a", "1", "3"], ["b", "2", ""]]);
    }

    #[test]
    fn rates_become_rows() {
        let rates = Rates::new(&[0, 0, 0, 1], &[0, 0, 1, 1], 3).unwrap();
        let names = ["a", "b", "c"].map(str::to_owned);
        let table = Table::of_rates("", &names, &[("real", &rates)]);
        assert_eq!(table.rows[0], ["a", "0.67", "0.21\u{2013}0.94 (3)"]);
        assert_eq!(table.rows[2], ["c", "\u{2013}", "\u{2013}"]);
        assert_eq!(table.rows[3][1], "0.75");
    }
}
