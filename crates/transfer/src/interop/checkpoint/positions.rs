//! The fixed positions, which a file keeps and a model here computes.

/// How far positions in f32 may lie from the computed ones: they are rounded once or twice.
const ROUNDED: f32 = 1e-5;
/// The same for those that were rounded to f16 or bf16 with the weights; none is above 1.
const ROUNDED_TO_F16: f32 = 1.0 / 2048.0;
const ROUNDED_TO_BF16: f32 = 1.0 / 256.0;
/// Bits that a number of those types leaves empty in f32.
const EMPTY_IN_F16: u32 = 0x1fff;
const EMPTY_IN_BF16: u32 = 0xffff;

/// Whether stored positions are the computed ones, rounded as all that is stored: that they are tells of itself.
pub(super) fn are_fixed(stored: &[f32], computed: &[f32]) -> bool {
    let rounded_to = |empty: u32| stored.iter().all(|value| value.to_bits() & empty == 0);
    let tolerance = match () {
        () if rounded_to(EMPTY_IN_BF16) => ROUNDED_TO_BF16,
        () if rounded_to(EMPTY_IN_F16) => ROUNDED_TO_F16,
        () => ROUNDED,
    };
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance;
    stored.len() == computed.len() && stored.iter().zip(computed).all(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_told_from_training() {
        let computed: Vec<f32> = (0..100).map(|i| (i as f32 * 0.1).sin()).collect();
        let to_bf16 = |x: &f32| f32::from_bits((x.to_bits() + 0x8000) & !EMPTY_IN_BF16);
        let to_f16 = |x: &f32| f32::from_bits((x.to_bits() + 0x1000) & !EMPTY_IN_F16);
        let f16: Vec<f32> = computed.iter().map(to_f16).collect();
        let bf16: Vec<f32> = computed.iter().map(to_bf16).collect();
        for rounded in [&computed, &f16, &bf16] {
            assert!(are_fixed(rounded, &computed));
        }
        let moved = |by: f32, of: &[f32]| -> Vec<f32> { of.iter().map(|x| x + by).collect() };
        assert!(!are_fixed(&moved(1e-3, &computed), &computed));
        let trained: Vec<f32> = moved(0.01, &computed).iter().map(to_bf16).collect();
        assert!(!are_fixed(&trained, &computed));
        let trained: Vec<f32> = moved(0.001, &computed).iter().map(to_f16).collect();
        assert!(!are_fixed(&trained, &computed));
        assert!(!are_fixed(&computed[1..], &computed));
    }
}
