//! The page around the blocks, and the escaping of every text.

use super::{Block, Figure, Gallery, Picture, Png, Report, Section, glossary};

/// Pictures are enlarged by the largest whole factor that stays within this width, at most [`MAGNIFIED`] times.
const COLUMN: u32 = 720;
const MAGNIFIED: u32 = 8;
/// Side of a picture of a gallery; small ones are enlarged by whole factors as far as they fit.
const TILE: u32 = 96;

/// Nothing may be loaded and no script may run, whatever a text contains.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

pub(super) fn render(report: &Report) -> String {
    let title = escape(&report.title);
    let head = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>\n{}</style>\n</head>\n<body>\n",
        include_str!("style.css")
    );
    let mut html = format!("<header>\n<h1>{title}</h1>\n");
    html += &paragraphs(&report.summary, " class=\"lead\"");
    html += &blocks(&report.top);
    html += &figures(&report.figures);
    html += "</header>\n<main>\n";
    for section in &report.sections {
        html += &self::section(section);
    }
    if !report.how_to_read.is_empty() {
        html += "<section class=\"note\">\n<h2>How to read this</h2>\n";
        html += &paragraphs(&report.how_to_read, "");
        html += "</section>\n";
    }
    let (linked, words) = glossary::with_words(&html);
    let settings = settings(&report.settings);
    head + &format!(
        "{linked}{words}{settings}</main>\n<footer>{}</footer>\n</body>\n</html>\n",
        escape(&report.machine)
    )
}

/// The text with the five characters replaced that could end a text or an attribute value.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            // HTML has no others, not even as references.
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Escaped text whose parts between backticks are set as code.
pub(super) fn prose(text: &str) -> String {
    let escaped = escape(text);
    let parts: Vec<&str> = escaped.split('`').collect();
    // An odd number of backticks are no pairs.
    if parts.len().is_multiple_of(2) {
        return escaped;
    }
    let set = parts.iter().enumerate().map(|(i, part)| match i % 2 {
        0 => (*part).to_owned(),
        _ => format!("<code>{part}</code>"),
    });
    set.collect()
}

fn paragraphs(texts: &[String], attributes: &str) -> String {
    texts
        .iter()
        .map(|text| format!("<p{attributes}>{}</p>\n", prose(text)))
        .collect()
}

fn figures(figures: &[Figure]) -> String {
    if figures.is_empty() {
        return String::new();
    }
    let mut html = String::from("<ul class=\"figures\">\n");
    for Figure { value, label, note } in figures {
        html += &format!(
            "<li><strong>{}</strong><span>{}</span><small>{}</small></li>\n",
            escape(value),
            escape(label),
            escape(note)
        );
    }
    html + "</ul>\n"
}

fn section(section: &Section) -> String {
    let mut html = format!("<section>\n<h2>{}</h2>\n", escape(&section.heading));
    html += &paragraphs(&section.paragraphs, "");
    html += &blocks(&section.blocks);
    html + "</section>\n"
}

fn blocks(blocks: &[Block]) -> String {
    let block = |block: &Block| match block {
        Block::Text(text) => format!("<p>{}</p>\n", prose(text)),
        Block::Picture(picture) => self::picture(picture),
        Block::Gallery(gallery) => self::gallery(gallery),
        Block::Table(table) => table.html(),
        Block::Curve(curve) => curve.html(),
        Block::HeatMap(map) => map.html(),
    };
    blocks.iter().map(block).collect()
}

fn picture(Picture { png, alt, caption }: &Picture) -> String {
    let (width, height) = png.size();
    let factor = (COLUMN / width).clamp(1, MAGNIFIED);
    let size = [width, height].map(|side| side.saturating_mul(factor));
    let image = image(png, size, alt);
    format!(
        "<figure class=\"picture\">\n{image}\n<figcaption>{}</figcaption>\n</figure>\n",
        prose(caption)
    )
}

fn gallery(
    Gallery {
        caption,
        columns,
        rows,
    }: &Gallery,
) -> String {
    let mut html = String::from("<figure class=\"gallery\">\n<div class=\"table\"><table>\n");
    // Where a label stands above several pictures, some room parts it from the one before.
    let several = columns.chunk_by(|a, b| a == b).any(|group| group.len() > 1);
    let starts =
        |index: usize| several && index > 0 && columns.get(index) != columns.get(index - 1);
    let apart = |index: usize| {
        if starts(index) {
            " class=\"apart\""
        } else {
            ""
        }
    };
    if !columns.is_empty() {
        html += "<thead><tr><td></td>";
        let mut index = 0;
        for group in columns.chunk_by(|a, b| a == b) {
            html += &format!(
                "<th scope=\"colgroup\" colspan=\"{}\"{}>{}</th>",
                group.len(),
                apart(index),
                escape(&group[0])
            );
            index += group.len();
        }
        html += "</tr></thead>\n";
    }
    html += "<tbody>\n";
    for (label, pictures) in rows {
        html += &format!("<tr><th scope=\"row\">{}</th>", escape(label));
        for (index, png) in pictures.iter().enumerate() {
            let column = columns.get(index).map_or("", String::as_str);
            let alt = [label.as_str(), column]
                .into_iter()
                .filter(|part| !part.is_empty());
            let alt = alt.collect::<Vec<_>>().join(", ");
            html += &format!("<td{}>{}</td>", apart(index), image(png, tile(png), &alt));
        }
        html += "</tr>\n";
    }
    html + &format!(
        "</tbody></table></div>\n<figcaption>{}</figcaption>\n</figure>\n",
        prose(caption)
    )
}

/// Width and height at which a picture stands in a gallery.
fn tile(png: &Png) -> [u32; 2] {
    let (width, height) = png.size();
    match TILE / width.max(height) {
        0 => {
            let scaled = |side: u32| {
                (u64::from(side) * u64::from(TILE)).div_ceil(u64::from(width.max(height))) as u32
            };
            [scaled(width), scaled(height)]
        }
        factor => [width * factor, height * factor],
    }
}

fn image(png: &Png, [width, height]: [u32; 2], alt: &str) -> String {
    let class = if width > png.size().0 {
        " class=\"pixels\""
    } else {
        ""
    };
    format!(
        "<img{class} src=\"{}\" width=\"{width}\" height=\"{height}\" alt=\"{}\">",
        png.data_url(),
        escape(alt)
    )
}

fn settings(settings: &[(String, String)]) -> String {
    if settings.is_empty() {
        return String::new();
    }
    let mut html = String::from("<section>\n<h2>Settings</h2>\n<dl class=\"settings\">\n");
    for (name, value) in settings {
        html += &format!(
            "<div><dt>{}</dt><dd>{}</dd></div>\n",
            escape(name),
            escape(value)
        );
    }
    html + "</dl>\n</section>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Curve, HeatMap, Series, Table};

    const EVIL: &str = "<script>alert('\"&')</script>";

    fn evil_report() -> Report {
        let text = || EVIL.to_owned();
        let png = Png::new(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01".to_vec()).unwrap();
        let series = Series {
            name: text(),
            points: vec![(0.0, 1.0), (1.0, 2.0)],
            smooth: false,
        };
        let curve = Curve {
            caption: text(),
            x_label: text(),
            y_label: text(),
            series: vec![series],
            ..Curve::default()
        };
        let table = Table {
            caption: text(),
            columns: vec![text()],
            rows: vec![vec![text()]],
            ..Table::default()
        };
        let gallery = Gallery {
            caption: text(),
            columns: vec![text()],
            rows: vec![(text(), vec![png.clone()])],
        };
        let map = HeatMap {
            caption: text(),
            columns: vec![text()],
            rows: vec![(text(), vec![1.0])],
            ..HeatMap::default()
        };
        Report {
            title: text(),
            summary: vec![text()],
            top: Vec::new(),
            figures: vec![Figure {
                value: text(),
                label: text(),
                note: text(),
            }],
            sections: vec![Section {
                heading: text(),
                paragraphs: vec![text()],
                blocks: vec![
                    Block::Text(text()),
                    Block::Picture(Picture {
                        png,
                        alt: text(),
                        caption: text(),
                    }),
                    Block::Gallery(gallery),
                    Block::Table(table),
                    Block::Curve(curve),
                    Block::HeatMap(map),
                ],
            }],
            how_to_read: vec![text()],
            settings: vec![(text(), text())],
            machine: text(),
        }
    }

    #[test]
    fn no_text_can_become_markup() {
        let html = evil_report().to_html();
        assert!(!html.contains("<script"));
        assert!(!html.contains("alert('"));
        // Every text of the report, the title and the names of the chart more than once.
        assert_eq!(
            html.matches("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;")
                .count(),
            40
        );
    }

    #[test]
    fn backticks_set_code_where_they_are_pairs() {
        assert_eq!(
            prose("`a<b` is, `c` too"),
            "<code>a&lt;b</code> is, <code>c</code> too"
        );
        assert_eq!(prose("a ` alone"), "a ` alone");
    }

    #[test]
    fn nothing_is_requested() {
        let html = evil_report().to_html();
        for forbidden in [
            "http://", "https://", "//cdn", "@import", "url(", "<iframe", "<object",
        ] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert!(html.contains(POLICY));
    }

    #[test]
    fn equal_reports_give_equal_pages_also_after_a_round_trip() {
        let report = evil_report();
        let json = serde_json::to_string(&report).unwrap();
        let back: Report = serde_json::from_str(&json).unwrap();
        assert_eq!(back.to_html(), report.to_html());
    }
}
