//! Tables of `docs/` that are made from the tables of tests.
//!
//! Such a table stands between the lines `<!-- table NAME, of FILE -->` and `<!-- end of table -->`.

use std::fs;
use std::path::Path;

/// What stands in the three columns.
pub type Row = [String; 3];

/// Asserts that a page of `docs/` has these rows in the table of that name; with `LEARNGENE_WRITE_DOCS` set it gets them.
pub fn require(page: &str, name: &str, heads: [&str; 3], rows: &[Row]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(page);
    let text = fs::read_to_string(&path).unwrap();
    let start = text.find(&format!("<!-- table {name},"));
    let start = start.unwrap_or_else(|| unreachable!("{page} has no table {name}"));
    let start = start + text[start..].find('\n').unwrap() + 1;
    let end = start + text[start..].find("<!-- end of table -->").unwrap();
    let line = |cells: [&str; 3]| format!("| {} |\n", cells.join(" | "));
    let mut table = line(heads) + &line(["---"; 3]);
    for row in rows {
        assert!(
            row.iter().all(|cell| !cell.contains(['|', '\n'])),
            "{row:?}"
        );
        table += &line(row.each_ref().map(String::as_str));
    }
    if std::env::var_os("LEARNGENE_WRITE_DOCS").is_some() {
        let written = [&text[..start], &table, &text[end..]].concat();
        fs::write(&path, written).unwrap();
        return;
    }
    assert_eq!(
        &text[start..end],
        table,
        "docs/{page} is not as the test has it: LEARNGENE_WRITE_DOCS=1 writes it again"
    );
}
