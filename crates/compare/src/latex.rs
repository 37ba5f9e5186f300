//! The tables for LaTeX.

use crate::findings::{Findings, Summary};
use crate::notes::notes;
use crate::table::{NONE, tables};

/// `booktabs` tables with notes below them.
pub fn latex(findings: &Findings) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|c| escaped(c)).collect();
        format!("{} \\\\\n", cells.join(" & "))
    };
    let adapted = |row: &&Summary| row.method.is_some();
    let methods = findings.rows.iter().filter(adapted).count();
    let mut text = "% needs \\usepackage{booktabs}\n".to_owned();
    for table in tables(findings) {
        // A rule before the bases, or before the real images.
        let rule = match table.total {
            true => table.rows.len().saturating_sub(1),
            false => methods.min(table.rows.len()),
        };
        text += &format!(
            "% {}\n\\begin{{tabular}}{{l{}}}\n\\toprule\n{}\\midrule\n",
            table.caption,
            "r".repeat(table.columns.len() - 1),
            line(&table.columns)
        );
        for (number, row) in table.rows.iter().enumerate() {
            if number == rule {
                text += "\\midrule\n";
            }
            text += &line(row);
        }
        text += "\\bottomrule\n\\end{tabular}\n\n";
    }
    for note in notes(findings) {
        text += &format!("% {}\n", note.replace(char::is_control, " "));
    }
    text
}

fn escaped(cell: &str) -> String {
    let mut text = String::new();
    for c in cell.chars() {
        match c {
            '\u{b1}' => text += "$\\pm$",
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => text.extend(['\\', c]),
            '\\' => text += "\\textbackslash{}",
            '~' => text += "\\textasciitilde{}",
            '^' => text += "\\textasciicircum{}",
            // A line that ends in a cell ends the row.
            _ if c.is_control() => text.push(' '),
            _ => text.push(c),
        }
    }
    if cell == NONE { "--".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive() {
        assert_eq!(escaped("50 % of A_1 & {B}"), "50 \\% of A\\_1 \\& \\{B\\}");
        assert_eq!(escaped("0.1 \u{b1} 0.2"), "0.1 $\\pm$ 0.2");
        assert_eq!(escaped("-"), "--");
        assert_eq!(escaped("-0.5"), "-0.5");
        assert_eq!(escaped("a\n\nb\u{1b}"), "a  b ");
    }
}
