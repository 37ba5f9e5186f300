//! Labelled contact sheets: the pictures a person looks at.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::Sample;
use crate::error::{Error, Result};
use crate::image::{Image, MAX_SIDE, encode_png};

const FONT: (FontWeight, RasterHeight) = (FontWeight::Regular, RasterHeight::Size16);
const LINE: u32 = 16;
const GAP: u32 = 2;
const MARGIN: u32 = 6;
const WHITE: u8 = 255;

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
        self.column_labels = labels.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a row of tiles below the others; `label` stands at its left and may be empty.
    pub fn push_row(&mut self, label: impl Into<String>, tiles: Vec<Image>) {
        self.rows.push(tiles);
        self.row_labels.push(label.into());
    }
}

impl Grid {
    /// Paints the grid as an RGB image.
    ///
    /// # Errors
    /// [`Error::Encode`] if there is no tile or the picture would be wider or higher than [`MAX_SIDE`].
    pub fn paint(&self) -> Result<Image> {
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
        let width =
            u64::from(left) + columns as u64 * column_step - u64::from(GAP) + u64::from(MARGIN);
        let height =
            u64::from(top) + self.rows.len() as u64 * row_step - u64::from(GAP) + u64::from(MARGIN);
        if width > u64::from(MAX_SIDE) || height > u64::from(MAX_SIDE) {
            return Err(Error::Encode(format!(
                "{width}x{height} pixels are more than {MAX_SIDE} a side; show fewer tiles"
            )));
        }
        let (column_step, row_step) = (column_step as u32, row_step as u32);
        let mut canvas = Image::filled(width as u32, height as u32, &[WHITE; 3]);
        for (head, column) in heads.iter().zip(0..) {
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
        for ((label, tiles), row) in self.row_labels.iter().zip(&self.rows).zip(0..) {
            let y = top + row * row_step;
            // Right-aligned, so that a short label stands beside its row.
            let x = MARGIN + label_width - text_width(label);
            write_text(
                &mut canvas,
                x,
                y + (row_step - GAP).saturating_sub(LINE) / 2,
                label,
            );
            for (tile, column) in tiles.iter().zip(0..) {
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

/// The first few images of each class of a source, one row for each class.
#[derive(Debug, Clone)]
pub struct ContactSheet {
    classes: Vec<String>,
    tiles: Vec<Vec<Image>>,
    per_class: usize,
    largest_tile: u32,
}

impl ContactSheet {
    /// An empty sheet for `per_class` images of each class, those above `largest_tile` pixels (at least 1) cropped and
    /// scaled down to it.
    pub fn new(classes: &[String], per_class: usize, largest_tile: u32) -> Self {
        let tiles = vec![Vec::new(); classes.len()];
        Self {
            classes: classes.to_vec(),
            tiles,
            per_class,
            largest_tile: largest_tile.max(1),
        }
    }

    /// Takes the image if its class has room; latents are no pictures.
    pub fn add(&mut self, sample: &Sample) {
        let Some(tiles) = self
            .tiles
            .get_mut(sample.class)
            .filter(|tiles| tiles.len() < self.per_class)
        else {
            return;
        };
        let Some(image) = sample.content.image() else {
            return;
        };
        tiles.push(if image.width.max(image.height) > self.largest_tile {
            image.centre_crop(self.largest_tile)
        } else {
            image.clone()
        });
    }

    /// The sheet as a grid, tiles enlarged `scale` times.
    pub fn into_grid(self, scale: u32) -> Grid {
        let mut grid = Grid::new(scale);
        for (class, tiles) in self.classes.into_iter().zip(self.tiles) {
            grid.push_row(class, tiles);
        }
        grid
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

    #[test]
    fn an_empty_or_monstrous_grid_is_an_error() {
        assert!(matches!(Grid::new(1).paint(), Err(Error::Encode(_))));
        let mut grid = Grid::new(u32::MAX);
        grid.push_row("a", vec![Image::filled(2, 2, &[0])]);
        assert!(matches!(grid.paint(), Err(Error::Encode(_))));
    }
}
