//! Decoding a large latent in tiles: memory follows a tile and not the image.
//!
//! Neighbouring tiles overlap by a quarter, and there each counts the less the nearer its edge is, so no seam shows. The
//! norms and the attention of a tile see the tile alone, so a tiled image is near, not equal, to one decoded as a whole.

use std::ops::Range;

/// Part of a tile's side that its neighbour shows too.
const OVERLAP: usize = 4;

/// Where the tiles of an axis lie: `tile` long each, the last one ending with the axis; a single shorter one if the axis
/// is no longer.
fn places(length: usize, tile: usize) -> Vec<Range<usize>> {
    if length <= tile {
        return vec![Range {
            start: 0,
            end: length,
        }];
    }
    let stride = (tile - tile / OVERLAP).max(1);
    let starts = (0..length - tile).step_by(stride).chain([length - tile]);
    starts.map(|start| start..start + tile).collect()
}

/// How much the values of a tile count along an axis of `length`: rising from edges that have a neighbour.
fn weights(place: &Range<usize>, length: usize, ramp: usize) -> Vec<f32> {
    let rise = |distance: usize| ((distance + 1) as f32 / (ramp + 1) as f32).min(1.0);
    let at = |i: usize| {
        let left = if place.start == 0 { 1.0 } else { rise(i) };
        let right = if place.end == length {
            1.0
        } else {
            rise(place.len() - 1 - i)
        };
        left * right
    };
    (0..place.len()).map(at).collect()
}

/// An image of `channels` planes of `by` times the sides of a latent, from what `decode` makes of its tiles.
///
/// - size: height and width of the latent
/// - tile: side of a tile of the latent
/// - decode: rows and columns of the latent to planes, row-major
/// - output: `[channels, by * height, by * width]`, row-major
pub(super) fn tiled(
    [height, width]: [usize; 2],
    tile: usize,
    channels: usize,
    by: usize,
    mut decode: impl FnMut(Range<usize>, Range<usize>) -> Vec<f32>,
) -> Vec<f32> {
    let (high, wide) = (by * height, by * width);
    let mut sum = vec![0.0; channels * high * wide];
    let mut total = vec![0.0; high * wide];
    let ramp = by * (tile / OVERLAP);
    let larger = |place: &Range<usize>| by * place.start..by * place.end;
    for rows in places(height, tile) {
        let down = weights(&larger(&rows), high, ramp);
        for columns in places(width, tile) {
            let across = weights(&larger(&columns), wide, ramp);
            let planes = decode(rows.clone(), columns.clone());
            for (row, values) in planes.chunks_exact(across.len()).enumerate() {
                let (plane, y) = (row / down.len(), row % down.len());
                let first = (by * rows.start + y) * wide + by * columns.start;
                let out = &mut sum[plane * high * wide + first..][..across.len()];
                for (x, (out, value)) in out.iter_mut().zip(values).enumerate() {
                    let weight = down[y] * across[x];
                    *out += weight * value;
                    if plane == 0 {
                        total[first + x] += weight;
                    }
                }
            }
        }
    }
    for plane in sum.chunks_exact_mut(high * wide) {
        plane.iter_mut().zip(&total).for_each(|(v, t)| *v /= t);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_an_axis_and_overlap() {
        assert_eq!(places(5, 8), [Range { start: 0, end: 5 }]);
        assert_eq!(places(8, 8), [Range { start: 0, end: 8 }]);
        assert_eq!(places(9, 8), [0..8, 1..9]);
        assert_eq!(places(21, 8), [0..8, 6..14, 12..20, 13..21]);
    }

    #[test]
    fn what_is_the_same_in_all_tiles_comes_out_as_it_is() {
        // A decoder that repeats every latent in a square of 2 x 2, in two planes.
        let (height, width) = (21, 10);
        let value = |plane: usize, y: usize, x: usize| (plane * 1000 + (y / 2) * 31 + x / 2) as f32;
        let image = tiled([height, width], 8, 2, 2, |rows, columns| {
            let line = |p, y| (2 * columns.start..2 * columns.end).map(move |x| value(p, y, x));
            let plane = |p| (2 * rows.start..2 * rows.end).flat_map(move |y| line(p, y));
            (0..2).flat_map(plane).collect()
        });
        let expected = (0..2).flat_map(|p| {
            (0..2 * height).flat_map(move |y| (0..2 * width).map(move |x| value(p, y, x)))
        });
        for (found, expected) in image.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
    }

    #[test]
    fn a_step_between_two_tiles_becomes_a_slope() {
        let image = tiled([1, 12], 8, 1, 1, |_, columns| vec![columns.start as f32; 8]);
        assert_eq!((image[0], image[11]), (0.0, 4.0));
        assert!(
            image.windows(2).all(|w| w[1] >= w[0] && w[1] - w[0] < 2.0),
            "{image:?}"
        );
    }
}
