//! Tables: the model, how a cell is aligned, and the table of rates.

use serde::{Deserialize, Serialize};

use super::page::escape;
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
}

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
            html += &format!("<figcaption>{}</figcaption>\n", escape(&self.caption));
        }
        let total = if self.total { " class=\"total\"" } else { "" };
        html += &format!("<div class=\"table\"><table{total}>\n");
        html += "<thead><tr>";
        for (column, name) in self.columns.iter().enumerate() {
            html += &format!("<th scope=\"col\"{}>{}</th>", class(column), escape(name));
        }
        html += "</tr></thead>\n<tbody>\n";
        for row in &self.rows {
            html += "<tr>";
            for column in 0..self.columns.len() {
                let cell = escape(row.get(column).map_or("", String::as_str));
                html += &match column {
                    0 => format!("<th scope=\"row\"{}>{cell}</th>", class(0)),
                    _ => format!("<td{}>{cell}</td>", class(column)),
                };
            }
            html += "</tr>\n";
        }
        html + "</tbody>\n</table></div>\n</figure>\n"
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
    fn rates_become_rows() {
        let rates = Rates::new(&[0, 0, 0, 1], &[0, 0, 1, 1], 3).unwrap();
        let names = ["a", "b", "c"].map(str::to_owned);
        let table = Table::of_rates("", &names, &[("real", &rates)]);
        assert_eq!(table.rows[0], ["a", "0.67", "0.21\u{2013}0.94 (3)"]);
        assert_eq!(table.rows[2], ["c", "\u{2013}", "\u{2013}"]);
        assert_eq!(table.rows[3][1], "0.75");
    }
}
