//! Labelled contact sheets: the pictures a person looks at.

mod panel;

pub use panel::{Panel, side_by_side};

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::Sample;
use crate::error::{Error, Result};
use crate::image::{Image, MAX_SIDE, encode_png};

const FONT: (FontWeight, RasterHeight) = (FontWeight::Regular, RasterHeight::Size16);
const LINE: u32 = 16;
const GAP: u32 = 2;
const MARGIN: u32 = 6;
const WHITE: u8 = 255;
/// The most pixels of a picture: 384 MiB of memory.
const MAX_PIXELS: u64 = 1 << 27;
/// The most characters of a label; longer ones are cut.
const MAX_LABEL: usize = 64;

/// Rows of tiles with labels at the left of rows and on top of columns, on white.
#[derive(Debug, Clone, Default)]
pub struct Grid {
    rows: Vec<Vec<Image>>,
    row_labels: Vec<String>,
    column_labels: Vec<String>,
    scale: u32,
}

impl Grid {
    /// An empty grid whose tiles are enlarged `scale` times by repeating pixels (0 counts as 1).
    pub fn new(scale: u32) -> Self {
        Self {
            scale: scale.max(1),
            ..Self::default()
        }
    }

    /// Sets the texts above the columns, from the left.
    #[must_use]
    pub fn with_column_labels<S: Into<String>>(
        mut self,
        labels: impl IntoIterator<Item = S>,
    ) -> Self {
        self.column_labels = labels.into_iter().map(|label| cut(label.into())).collect();
        self
    }

    /// Adds a row of tiles below the others; `label` stands at its left and may be empty.
    pub fn push_row(&mut self, label: impl Into<String>, tiles: Vec<Image>) {
        self.rows.push(tiles);
        self.row_labels.push(cut(label.into()));
    }
}

/// Where everything stands in a picture.
struct Layout {
    tile_width: u32,
    label_width: u32,
    heads: Vec<Vec<String>>,
    head_lines: u32,
    left: u32,
    top: u32,
    /// From one column or row to the next.
    step: [u32; 2],
    /// Columns and rows that fit, and those there are.
    shown: [usize; 2],
    all: [usize; 2],
    size: [u32; 2],
}

impl Layout {
    /// What of the grid the picture leaves out, if it does not hold all: the last rows or columns.
    fn left_out(&self) -> Option<String> {
        let parts: Vec<String> = ["columns", "rows"]
            .iter()
            .zip(self.shown.iter().zip(self.all))
            .filter(|(_, (shown, all))| *shown < all)
            .map(|(what, (shown, all))| format!("the first {shown} of {all} {what}"))
            .collect();
        (!parts.is_empty()).then(|| parts.join(" and "))
    }
}

impl Grid {
    /// What of the grid fits into a picture, if not all of it does, as in "the first 248 of 300 rows".
    ///
    /// # Errors
    /// As [`Grid::paint`].
    pub fn shown(&self) -> Result<Option<String>> {
        Ok(self.layout()?.left_out())
    }

    fn layout(&self) -> Result<Layout> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let tiles = || self.rows.iter().flatten();
        let tile_width = tiles()
            .map(|tile| tile.width)
            .max()
            .unwrap_or(0)
            .saturating_mul(self.scale);
        let tile_height = tiles()
            .map(|tile| tile.height)
            .max()
            .unwrap_or(0)
            .saturating_mul(self.scale);
        if tile_width == 0 || tile_height == 0 {
            return Err(Error::Encode("the grid has no tile".to_owned()));
        }
        let label_width = self
            .row_labels
            .iter()
            .map(|label| text_width(label))
            .max()
            .unwrap_or(0);
        let left = MARGIN
            + if label_width > 0 {
                label_width + MARGIN
            } else {
                0
            };
        let heads: Vec<Vec<String>> = self
            .column_labels
            .iter()
            .map(|label| wrap(label, tile_width))
            .collect();
        let head_lines = heads.iter().map(Vec::len).max().unwrap_or(0) as u32;
        let head_width = heads
            .iter()
            .flatten()
            .map(|line| text_width(line))
            .max()
            .unwrap_or(0);
        let top = MARGIN
            + if head_lines > 0 {
                head_lines * LINE + GAP
            } else {
                0
            };
        // A column is never narrower than the longest word above it, nor a row lower than its label.
        let column_step = u64::from(tile_width.max(head_width)) + u64::from(GAP);
        let line = if label_width > 0 { LINE } else { 0 };
        let row_step = u64::from(tile_height.max(line)) + u64::from(GAP);
        // How many steps fit into a side, each with a gap behind it but for the last.
        let fitting = |side: u64, before: u32, step: u64| {
            let room = (side + u64::from(GAP)).saturating_sub(u64::from(before + MARGIN));
            (room / step) as usize
        };
        let side = |before: u32, count: usize, step: u64| {
            u64::from(before) + count as u64 * step - u64::from(GAP) + u64::from(MARGIN)
        };
        let most = u64::from(MAX_SIDE);
        let all = [columns, self.rows.len()];
        let shown_columns = columns.min(fitting(most, left, column_step));
        let mut shown_rows = 0;
        if shown_columns > 0 {
            let width = side(left, shown_columns, column_step);
            // A line below the rows says what is left out.
            let fit = |below: u32| fitting(most.min(MAX_PIXELS / width), top + below, row_step);
            shown_rows = match self.rows.len() {
                rows if rows <= fit(0) && shown_columns == columns => rows,
                rows => rows.min(fit(LINE + GAP)),
            };
        }
        if shown_rows == 0 {
            return Err(Error::Encode(format!(
                "one tile of {tile_width}x{tile_height} pixels and its labels are more than {MAX_SIDE} pixels a side; \
                 show smaller tiles"
            )));
        }
        let shown = [shown_columns, shown_rows];
        let below = if shown == all { 0 } else { LINE + GAP };
        Ok(Layout {
            tile_width,
            label_width,
            heads,
            head_lines,
            left,
            top,
            step: [column_step as u32, row_step as u32],
            shown,
            all,
            size: [
                side(left, shown_columns, column_step) as u32,
                side(top, shown_rows, row_step) as u32 + below,
            ],
        })
    }

    /// Paints the grid as an RGB image. Of a grid that does not fit into a picture of [`MAX_SIDE`] pixels a side, the first
    /// columns and rows are shown, and a line below says so.
    ///
    /// # Errors
    /// [`Error::Encode`] if there is no tile, or not even one fits.
    pub fn paint(&self) -> Result<Image> {
        let layout = self.layout()?;
        let Layout {
            tile_width,
            label_width,
            head_lines,
            left,
            top,
            step: [column_step, row_step],
            shown: [columns, rows],
            ..
        } = layout;
        let [width, height] = layout.size;
        let notice = layout.left_out().map(|text| format!("{text} are shown"));
        let room = notice.as_deref().map_or(0, text_width) + 2 * MARGIN;
        let mut canvas = Image::filled(width.max(room), height, &[WHITE; 3]);
        if let Some(text) = notice {
            write_text(&mut canvas, MARGIN, height - MARGIN - LINE, &text);
        }
        for (head, column) in layout.heads.iter().take(columns).zip(0..) {
            // Lines stand on the tiles, so that a short label is as near to its column as a long one.
            for (line, number) in head.iter().zip(head_lines - head.len() as u32..) {
                let centred = (column_step - GAP).saturating_sub(text_width(line)) / 2;
                write_text(
                    &mut canvas,
                    left + column * column_step + centred,
                    MARGIN + number * LINE,
                    line,
                );
            }
        }
        let labelled = self.row_labels.iter().zip(&self.rows).take(rows);
        for ((label, tiles), row) in labelled.zip(0..) {
            let y = top + row * row_step;
            // Right-aligned, so that a short label stands beside its row.
            let x = MARGIN + label_width - text_width(label);
            write_text(
                &mut canvas,
                x,
                y + (row_step - GAP).saturating_sub(LINE) / 2,
                label,
            );
            for (tile, column) in tiles.iter().take(columns).zip(0..) {
                let centred = (column_step - GAP - tile_width) / 2;
                paste(
                    &mut canvas,
                    left + column * column_step + centred,
                    y,
                    tile,
                    self.scale,
                );
            }
        }
        Ok(canvas)
    }

    /// The painted grid as a PNG file.
    ///
    /// # Errors
    /// As [`Grid::paint`].
    pub fn encode_png(&self) -> Result<Vec<u8>> {
        encode_png(&self.paint()?)
    }
}

/// A few images of each class of a source, one row for each class: the first ones, or some at random.
#[derive(Debug, Clone)]
pub struct ContactSheet {
    classes: Vec<String>,
    /// The images of each class with their ranks, the smallest first.
    tiles: Vec<Vec<(u64, Image)>>,
    per_class: usize,
    largest_tile: u32,
    seed: Option<u64>,
    seen: u64,
}

impl ContactSheet {
    /// An empty sheet for the first `per_class` images of each class, those above `largest_tile` pixels (at least 1)
    /// cropped and scaled down to it.
    pub fn new(classes: &[String], per_class: usize, largest_tile: u32) -> Self {
        let tiles = vec![Vec::new(); classes.len()];
        Self {
            classes: classes.to_vec(),
            tiles,
            per_class,
            largest_tile: largest_tile.max(1),
            seed: None,
            seen: 0,
        }
    }

    /// The same for images at random: those whose names have the smallest hashes with that seed.
    #[must_use]
    pub fn at_random(self, seed: u64) -> Self {
        Self {
            seed: Some(seed),
            ..self
        }
    }

    /// Takes the image if its rank is among the smallest of its class; latents are no pictures.
    pub fn add(&mut self, sample: &Sample) {
        let Some(tiles) = self.tiles.get_mut(sample.class) else {
            return;
        };
        let Some(image) = sample.content.image() else {
            return;
        };
        self.seen += 1;
        let rank = match self.seed {
            None => self.seen,
            Some(seed) => {
                let mut hasher = blake3::Hasher::new();
                hasher
                    .update(&seed.to_le_bytes())
                    .update(sample.id.as_bytes());
                let hash = hasher.finalize();
                hash.as_bytes()[..8]
                    .iter()
                    .fold(0, |rank, byte| rank << 8 | u64::from(*byte))
            }
        };
        let place = tiles.partition_point(|(other, _)| *other <= rank);
        if place >= self.per_class {
            return;
        }
        let image = match image.width.max(image.height) > self.largest_tile {
            true => image.centre_crop(self.largest_tile),
            false => image.clone(),
        };
        tiles.insert(place, (rank, image));
        tiles.truncate(self.per_class);
    }

    /// The sheet as a grid, tiles enlarged `scale` times.
    pub fn into_grid(self, scale: u32) -> Grid {
        let mut grid = Grid::new(scale);
        for (class, tiles) in self.classes.into_iter().zip(self.tiles) {
            grid.push_row(class, tiles.into_iter().map(|(_, image)| image).collect());
        }
        grid
    }
}

/// A label of at most [`MAX_LABEL`] characters.
fn cut(label: String) -> String {
    match label.char_indices().nth(MAX_LABEL) {
        None => label,
        Some(_) => {
            let kept: String = label.chars().take(MAX_LABEL - 2).collect();
            kept + ".."
        }
    }
}

fn text_width(text: &str) -> u32 {
    text.chars().count() as u32 * get_raster_width(FONT.0, FONT.1) as u32
}

/// Breaks a label between words (after spaces and hyphens) into lines that fit `width` where the words allow it.
fn wrap(label: &str, width: u32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in label.split_inclusive([' ', '-', '/']) {
        match lines.last_mut() {
            Some(line) if text_width(line) + text_width(word.trim_end()) <= width => {
                line.push_str(word)
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
        .into_iter()
        .map(|line| line.trim().to_owned())
        .collect()
}

/// Writes one line of black text; characters the font lacks become question marks.
fn write_text(canvas: &mut Image, x: u32, y: u32, text: &str) {
    let advance = get_raster_width(FONT.0, FONT.1) as u32;
    for (character, number) in text.chars().zip(0..) {
        let Some(glyph) =
            get_raster(character, FONT.0, FONT.1).or_else(|| get_raster('?', FONT.0, FONT.1))
        else {
            continue;
        };
        for (row, line) in glyph.rows().zip(y..) {
            for (ink, column) in row.iter().zip(x + number * advance..) {
                set(canvas, column, line, [WHITE - ink; 3]);
            }
        }
    }
}

/// Lays a tile, enlarged, on the canvas.
fn paste(canvas: &mut Image, x: u32, y: u32, tile: &Image, scale: u32) {
    for row in 0..tile.height * scale {
        for column in 0..tile.width * scale {
            let at = ((row / scale * tile.width + column / scale) * tile.channels) as usize;
            let pixel = if tile.channels == 1 {
                [tile.pixels[at]; 3]
            } else {
                [tile.pixels[at], tile.pixels[at + 1], tile.pixels[at + 2]]
            };
            set(canvas, x + column, y + row, pixel);
        }
    }
}

fn set(canvas: &mut Image, x: u32, y: u32, pixel: [u8; 3]) {
    if x < canvas.width && y < canvas.height {
        let at = (y as usize * canvas.width as usize + x as usize) * 3;
        canvas.pixels[at..at + 3].copy_from_slice(&pixel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dark(canvas: &Image, left: u32, top: u32, width: u32, height: u32) -> usize {
        canvas
            .cropped(left, top, width, height)
            .pixels
            .iter()
            .filter(|value| **value < 128)
            .count()
    }

    #[test]
    fn tiles_are_enlarged_and_stand_where_rows_and_columns_say() {
        let mut grid = Grid::new(3);
        grid.push_row(
            "",
            vec![Image::filled(2, 2, &[0]), Image::filled(2, 2, &[200, 0, 0])],
        );
        let canvas = grid.paint().unwrap();
        // Margin, two tiles of 6 pixels with a gap, margin.
        assert_eq!(
            [canvas.width, canvas.height],
            [6 + 6 + 2 + 6 + 6, 6 + 6 + 6]
        );
        assert!(
            canvas
                .cropped(6, 6, 6, 6)
                .pixels
                .iter()
                .all(|value| *value == 0)
        );
        assert_eq!(
            canvas.cropped(14, 6, 6, 6).pixels,
            Image::filled(6, 6, &[200, 0, 0]).pixels
        );
        assert!(
            canvas
                .cropped(0, 0, 6, 18)
                .pixels
                .iter()
                .all(|value| *value == 255)
        );
    }

    #[test]
    fn labels_are_written_beside_tiles_and_never_over_them() {
        let tile = Image::filled(8, 8, &[255; 3]);
        let mut grid = Grid::new(1).with_column_labels(["wrong tailor", "x"]);
        grid.push_row("gesture-person", vec![tile.clone(), tile]);
        let canvas = grid.paint().unwrap();
        let left = MARGIN + text_width("gesture-person") + MARGIN;
        let top = MARGIN + 2 * LINE + GAP;
        assert!(
            dark(&canvas, 0, top, left, LINE) > 100,
            "the row label is there"
        );
        assert!(
            dark(&canvas, left, MARGIN, 60, 2 * LINE) > 50,
            "the column label is there, on two lines"
        );
        assert_eq!(
            dark(&canvas, left, top, canvas.width - left, canvas.height - top),
            0,
            "tiles are clear of text"
        );
        let border = dark(&canvas, 0, 0, 1, canvas.height)
            + dark(&canvas, canvas.width - 1, 0, 1, canvas.height);
        assert_eq!(border, 0, "no label is cut");
    }

    #[test]
    fn long_labels_break_between_words() {
        assert_eq!(wrap("gesture-person", 64), ["gesture-", "person"]);
        assert_eq!(wrap("right tailor", 1000), ["right tailor"]);
        assert_eq!(wrap("unbreakable", 8), ["unbreakable"]);
        assert!(wrap("", 8).is_empty());
    }

    /// 32 x 32 pixels twice as large, as `sample` and runs draw them: 248 rows fit.
    #[test]
    fn of_more_rows_or_columns_than_fit_the_first_are_shown_and_it_says_so() {
        let tile = Image::filled(32, 32, &[9; 3]);
        let grid = |rows: usize, columns: usize| {
            let mut grid = Grid::new(2);
            (0..rows).for_each(|i| grid.push_row(i.to_string(), vec![tile.clone(); columns]));
            grid
        };
        assert_eq!(grid(248, 1).shown().unwrap(), None);
        assert_eq!(grid(248, 1).paint().unwrap().height, 12 + 248 * 66 - 2);
        let many = grid(260, 1);
        assert_eq!(many.shown().unwrap().unwrap(), "the first 247 of 260 rows");
        let canvas = many.paint().unwrap();
        assert!(canvas.height <= MAX_SIDE);
        let below = dark(
            &canvas,
            0,
            canvas.height - MARGIN - LINE,
            canvas.width,
            LINE,
        );
        assert!(below > 20, "a line below says so");
        let wide = grid(1, 500).shown().unwrap().unwrap();
        assert_eq!(wide, "the first 247 of 500 columns");
        let vast = grid(260, 260).paint().unwrap();
        assert!(u64::from(vast.width) * u64::from(vast.height) <= MAX_PIXELS);
    }

    #[test]
    fn a_label_of_any_length_leaves_room_for_tiles() {
        let mut grid = Grid::new(1).with_column_labels(["w".repeat(5000)]);
        grid.push_row("\u{e4}".repeat(5000), vec![Image::filled(8, 8, &[0])]);
        let canvas = grid.paint().unwrap();
        assert!(canvas.width < 1200, "{}", canvas.width);
    }

    #[test]
    fn an_empty_or_monstrous_grid_is_an_error() {
        assert!(matches!(Grid::new(1).paint(), Err(Error::Encode(_))));
        let mut grid = Grid::new(u32::MAX);
        grid.push_row("a", vec![Image::filled(2, 2, &[0])]);
        assert!(matches!(grid.paint(), Err(Error::Encode(_))));
    }
}
