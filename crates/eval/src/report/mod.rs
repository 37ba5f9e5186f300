//! A report: headings, texts, tables, curves, heat maps and pictures that become one self-contained HTML page.
//!
//! The model holds finished numbers and texts; nothing here computes a result. [`Report::to_html`] needs no
//! file and no network, and the page asks for none: pictures are embedded, there is no script, and its
//! content security policy forbids both. Every text is escaped. The first use of a word of the field is a link to what it
//! means, at the end of the page.

mod axis;
mod curve;
mod glossary;
mod heatmap;
mod page;
mod png;
mod table;

pub use self::curve::{Curve, Scale, Series};
pub use self::heatmap::HeatMap;
pub use self::png::Png;
pub use self::table::Table;

use serde::{Deserialize, Serialize};

/// Everything a page shows, in the order in which it is shown.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Heading of the page.
    pub title: String,
    /// What came out, in a sentence or two: one entry per paragraph.
    pub summary: Vec<String>,
    /// What a hurried reader looks at first, above everything else.
    pub top: Vec<Block>,
    /// The few numbers that a hurried reader takes away.
    pub figures: Vec<Figure>,
    /// The body.
    pub sections: Vec<Section>,
    /// How to read the page, and what it does not show: one entry per paragraph.
    pub how_to_read: Vec<String>,
    /// Settings of the run as (name, value).
    pub settings: Vec<(String, String)>,
    /// The machine, the version and the date, in one line.
    pub machine: String,
}

/// A number that stands out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// The number with its unit.
    pub value: String,
    /// What it is.
    pub label: String,
    /// What to hold it against: a bar, chance, or the number before.
    pub note: String,
}

/// A heading with what belongs to it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Section {
    /// Heading.
    pub heading: String,
    /// Text under the heading.
    pub paragraphs: Vec<String>,
    /// What follows the text.
    pub blocks: Vec<Block>,
}

/// One part of a section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Block {
    /// A paragraph between other blocks.
    Text(String),
    /// One picture.
    Picture(Picture),
    /// Small pictures in labelled rows and columns.
    Gallery(Gallery),
    /// Numbers.
    Table(Table),
    /// Lines over a common axis.
    Curve(Curve),
    /// Numbers, shaded by size.
    HeatMap(HeatMap),
}

/// A picture. One narrower than the page is shown enlarged by a whole factor, without blurring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The picture.
    pub png: Png,
    /// What a reader who cannot see it should know.
    pub alt: String,
    /// Text below.
    pub caption: String,
}

/// Pictures of the same kind side by side, for instance one noise under several gates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gallery {
    /// Text below; also stands in for the pictures where they cannot be seen.
    pub caption: String,
    /// Labels above the columns; may be empty. Neighbours that are equal become one label above both.
    pub columns: Vec<String>,
    /// Label and pictures of each row.
    pub rows: Vec<(String, Vec<Png>)>,
}

impl Report {
    /// The whole page as UTF-8 HTML. Equal reports give equal bytes.
    pub fn to_html(&self) -> String {
        page::render(self)
    }
}
