//! Panels for a page or a README: a title, tiles in groups of columns with a head above each, and panels side by side.

use super::{GAP, LINE, MARGIN, WHITE, paste, text_width, wrap, write_text};
use crate::error::{Error, Result};
use crate::image::{Image, MAX_SIDE};

/// Between groups of columns, and between panels.
const APART: u32 = 10;

/// Tiles of one size in labelled rows; neighbouring columns form groups.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    /// Text above everything, broken into lines as wide as the tiles.
    pub title: String,
    /// What stands above each group of columns, and of how many columns it is.
    pub groups: Vec<(String, usize)>,
    /// Label and tiles of each row; tiles past the groups are not shown.
    pub rows: Vec<(String, Vec<Image>)>,
    /// How often a tile's pixels are repeated; 0 counts as 1.
    pub scale: u32,
}

impl Panel {
    /// Paints the panel as an RGB image on white.
    ///
    /// # Errors
    /// [`Error::Encode`] if there is no tile, or the picture would be larger than [`MAX_SIDE`].
    pub fn paint(&self) -> Result<Image> {
        let scale = self.scale.max(1);
        let tiles = || self.rows.iter().flat_map(|row| &row.1);
        let side = |of: fn(&Image) -> u32| tiles().map(of).max().unwrap_or(0).saturating_mul(scale);
        let (tile_width, tile_height) = (side(|t| t.width), side(|t| t.height));
        let columns: usize = self.groups.iter().map(|group| group.1).sum();
        if tile_width == 0 || tile_height == 0 || columns == 0 {
            return Err(Error::Encode("the panel has no tile".to_owned()));
        }
        let labels = self
            .rows
            .iter()
            .map(|row| text_width(&row.0))
            .max()
            .unwrap_or(0);
        let left = MARGIN + if labels > 0 { labels + MARGIN } else { 0 };
        let step = [tile_width, tile_height.max(LINE)].map(|side| side.saturating_add(GAP));
        // Where each group begins, and how wide it is.
        let mut at = left;
        let places: Vec<(u32, u32)> = (self.groups.iter())
            .map(|(_, count)| {
                let place = (at, step[0].saturating_mul(*count as u32) - GAP);
                at = at.saturating_add(place.1).saturating_add(APART);
                place
            })
            .collect();
        let width = at - APART + MARGIN;
        let title = wrap(&self.title, width.saturating_sub(left + MARGIN));
        let heads: Vec<Vec<String>> = (self.groups.iter().zip(&places))
            .map(|((head, _), (_, wide))| wrap(head, *wide))
            .collect();
        let lines = heads.iter().map(Vec::len).max().unwrap_or(0);
        let heads_at =
            MARGIN + title.len() as u32 * LINE + if title.is_empty() { 0 } else { APART };
        let top = heads_at + lines as u32 * LINE + GAP;
        let height = step[1]
            .saturating_mul(self.rows.len() as u32)
            .saturating_add(top + MARGIN)
            - GAP;
        if width.max(height) > MAX_SIDE {
            return Err(Error::Encode(format!(
                "{width}x{height} pixels are more than {MAX_SIDE} a side; show fewer tiles"
            )));
        }
        let mut canvas = Image::filled(width, height, &[WHITE; 3]);
        for (line, number) in title.iter().zip(0..) {
            write_text(&mut canvas, left, MARGIN + number * LINE, line);
        }
        for (head, (start, wide)) in heads.iter().zip(&places) {
            for (line, number) in head.iter().zip((lines - head.len()) as u32..) {
                let centred = start + wide.saturating_sub(text_width(line)) / 2;
                write_text(&mut canvas, centred, heads_at + number * LINE, line);
            }
        }
        for ((label, tiles), row) in self.rows.iter().zip(0..) {
            let y = top + row * step[1];
            let x = MARGIN + labels - text_width(label);
            write_text(
                &mut canvas,
                x,
                y + tile_height.saturating_sub(LINE) / 2,
                label,
            );
            let columns = places.iter().zip(&self.groups);
            let columns = columns.flat_map(|((start, _), (_, count))| {
                (0..*count as u32).map(move |i| start + i * step[0])
            });
            for (tile, x) in tiles.iter().zip(columns) {
                paste(&mut canvas, x, y, tile, scale);
            }
        }
        Ok(canvas)
    }
}

/// RGB images beside each other, from the left, their upper edges in line, on white.
///
/// # Errors
/// [`Error::Encode`] if there is none, one is not RGB, or the picture would be larger than [`MAX_SIDE`].
pub fn side_by_side(images: &[Image]) -> Result<Image> {
    let width: u64 = images
        .iter()
        .map(|image| u64::from(image.width) + u64::from(APART))
        .sum();
    let height = images.iter().map(|image| image.height).max().unwrap_or(0);
    let width = width.saturating_sub(u64::from(APART));
    if width == 0
        || width.max(u64::from(height)) > u64::from(MAX_SIDE)
        || images.iter().any(|i| i.channels != 3)
    {
        return Err(Error::Encode(format!(
            "expected RGB images that are together at most {MAX_SIDE} pixels a side, found {width}x{height}"
        )));
    }
    let mut canvas = Image::filled(width as u32, height, &[WHITE; 3]);
    let mut x = 0;
    for image in images {
        paste(&mut canvas, x, 0, image, 1);
        x += image.width + APART;
    }
    Ok(canvas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_stand_in_their_groups_and_texts_beside_them() {
        let tile = |grey: u8| Image::filled(4, 4, &[grey]);
        let panel = Panel {
            title: "two whole groups".into(),
            groups: vec![("a".into(), 2), ("b".into(), 1)],
            rows: vec![("row".into(), vec![tile(10), tile(20), tile(30), tile(40)])],
            scale: 5,
        };
        let canvas = panel.paint().unwrap();
        let left = MARGIN + text_width("row") + MARGIN;
        let (first, third) = (left, left + 2 * 22 - GAP + APART);
        // The title is wider than the tiles and has two lines.
        let top = MARGIN + 2 * LINE + APART + LINE + GAP;
        assert_eq!(
            [canvas.width, canvas.height],
            [third + 20 + MARGIN, top + 20 + MARGIN]
        );
        for (x, grey) in [(first, 10), (first + 22, 20), (third, 30)] {
            assert_eq!(
                canvas.cropped(x, top, 20, 20),
                Image::filled(20, 20, &[grey; 3])
            );
        }
        let dark = canvas
            .cropped(0, 0, canvas.width, top)
            .pixels
            .iter()
            .filter(|v| **v < 128)
            .count();
        assert!(dark > 100, "title and heads are written");
        let both = side_by_side(&[canvas.clone(), Image::filled(3, 2, &[0; 3])]).unwrap();
        assert_eq!(
            [both.width, both.height],
            [canvas.width + APART + 3, canvas.height]
        );
        assert_eq!(
            both.cropped(canvas.width + APART, 0, 3, 2),
            Image::filled(3, 2, &[0; 3])
        );
    }

    #[test]
    fn an_empty_or_monstrous_panel_is_an_error() {
        assert!(matches!(Panel::default().paint(), Err(Error::Encode(_))));
        let huge = Panel {
            groups: vec![("a".into(), usize::MAX / 2)],
            rows: vec![(String::new(), vec![Image::filled(2, 2, &[0])])],
            scale: u32::MAX,
            ..Panel::default()
        };
        assert!(matches!(huge.paint(), Err(Error::Encode(_))));
        assert!(matches!(side_by_side(&[]), Err(Error::Encode(_))));
        assert!(matches!(
            side_by_side(&[Image::filled(2, 2, &[0])]),
            Err(Error::Encode(_))
        ));
    }
}
