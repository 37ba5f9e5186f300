//! Each operator beside its composition: `cargo bench -p learngene-bench [-- NAME]`.
//!
//! At the shapes of a training step of dit-nano/4 on 12 classes (39 samples of 64 tokens, d 192, rank split 96,8) and
//! of dit-s/2 (8 samples of 256 tokens, d 384, rank split 112,16), forward alone and with the backward pass. Loss and
//! sampler step: 48 images of 3 x 32 x 32 and 32 latents of 4 x 32 x 32.

use burn::tensor::{Device, Distribution, Tensor};
use divan::Bencher;
use learngene_kernels::{
    self as fused, Base, BlockSettings, BlockWeights, Factors, GatePlan, Mode, Projection,
    SamplerStep, reference,
};
use std::fmt;

fn main() {
    divan::main();
}

/// The sizes of an operator's work.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    samples: usize,
    tokens: usize,
    features: usize,
    heads: usize,
    learngene: usize,
    tailor: usize,
    /// Samples with the null label, at the end; the others are spread over the classes.
    null: usize,
    backward: bool,
}

const CLASSES: usize = 12;
const MLP: usize = 4;
const EPS: f64 = 1e-6;
/// Tensors of a projection with tailors.
const PROJECTION: usize = 7;

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pass = if self.backward {
            "and backward"
        } else {
            "forward"
        };
        write!(f, "{} {pass}", self.name)
    }
}

fn cases() -> Vec<Case> {
    let nano = Case {
        name: "dit-nano/4",
        samples: 39,
        tokens: 64,
        features: 192,
        heads: 3,
        learngene: 96,
        tailor: 8,
        null: 3,
        backward: false,
    };
    let small = Case {
        name: "dit-s/2",
        samples: 8,
        tokens: 256,
        features: 384,
        heads: 6,
        learngene: 112,
        tailor: 16,
        null: 1,
        backward: false,
    };
    let both = |case: Case| {
        [
            case,
            Case {
                backward: true,
                ..case
            },
        ]
    };
    [both(nano), both(small)].concat()
}

impl Case {
    fn rows(&self) -> usize {
        self.samples * self.tokens
    }

    /// `[b, t, width]`.
    fn tokens_of(&self, width: usize) -> Vec<usize> {
        vec![self.samples, self.tokens, width]
    }

    /// `[b, d]`.
    fn per_sample(&self) -> Vec<usize> {
        vec![self.samples, self.features]
    }

    /// The labels of a class-stratified batch as a gate.
    fn plan(&self) -> GatePlan {
        let labelled = self.samples - self.null;
        let list = |i: usize| match i < labelled {
            true => vec![(i * CLASSES / labelled, 1.0)],
            false => Vec::new(),
        };
        let lists: Vec<_> = (0..self.samples).map(list).collect();
        GatePlan::new(&lists, CLASSES)
    }

    /// Shapes of a projection from `n` to `m`: u, s and v of the learngene, the bias, u, s and v of the tailors.
    fn projection(&self, n: usize, m: usize) -> [Vec<usize>; PROJECTION] {
        let (r, t) = (self.learngene, CLASSES * self.tailor);
        [
            vec![r, m],
            vec![r],
            vec![r, n],
            vec![m],
            vec![t, m],
            vec![t],
            vec![t, n],
        ]
    }
}

/// The inputs of an operator, each flat, tracked if there is a backward pass.
struct Inputs(Vec<(Tensor<1>, Vec<usize>)>);

impl Inputs {
    fn get<const D: usize>(&self, i: usize) -> Tensor<D> {
        let (values, shape) = &self.0[i];
        let mut sides = [1; D];
        sides.copy_from_slice(shape);
        values.clone().reshape(sides)
    }

    fn factors(&self, first: usize) -> Factors {
        Factors {
            u: self.get(first),
            s: self.get(first + 1),
            v: self.get(first + 2),
        }
    }

    fn projection(&self, first: usize) -> Projection {
        Projection {
            base: Base::Factorised(self.factors(first)),
            bias: self.get(first + 3),
            tailors: Some(self.factors(first + 4)),
        }
    }
}

/// Times `f` on random inputs of those shapes.
fn time<const D: usize>(
    bencher: Bencher<'_, '_>,
    case: Case,
    shapes: &[Vec<usize>],
    f: impl Fn(&Inputs) -> Tensor<D>,
) {
    let device = match case.backward {
        true => Device::flex().autodiff(),
        false => Device::flex(),
    };
    let random = |shape: &Vec<usize>| {
        let normal = Distribution::Normal(0.0, 1.0);
        let values = Tensor::<1>::random([shape.iter().product::<usize>()], normal, &device);
        (values, shape.clone())
    };
    let values: Vec<_> = shapes.iter().map(random).collect();
    let inputs = || {
        let leaf = |(value, shape): &(Tensor<1>, Vec<usize>)| match case.backward {
            true => (value.clone().require_grad(), shape.clone()),
            false => (value.clone(), shape.clone()),
        };
        Inputs(values.iter().map(leaf).collect())
    };
    let bencher = bencher.with_inputs(inputs);
    match case.backward {
        true => bencher.bench_local_values(|inputs| f(&inputs).backward()),
        false => bencher.bench_local_values(|inputs| f(&inputs)),
    }
}

mod gelu_tanh {
    use super::*;

    fn shapes(case: Case) -> Vec<Vec<usize>> {
        vec![case.tokens_of(MLP * case.features)]
    }

    #[divan::bench(args = cases())]
    fn fused(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &shapes(case), |x| {
            fused::gelu_tanh(x.get::<3>(0))
        });
    }

    #[divan::bench(args = cases())]
    fn composed(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &shapes(case), |x| {
            reference::gelu_tanh(x.get::<3>(0))
        });
    }
}

mod silu {
    use super::*;

    #[divan::bench(args = cases())]
    fn fused(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &[case.per_sample()], |x| {
            fused::silu(x.get::<2>(0))
        });
    }

    #[divan::bench(args = cases())]
    fn composed(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &[case.per_sample()], |x| {
            reference::silu(x.get::<2>(0))
        });
    }
}

mod modulated_layer_norm {
    use super::*;

    fn shapes(case: Case) -> Vec<Vec<usize>> {
        let x = case.tokens_of(case.features);
        vec![x, case.per_sample(), case.per_sample()]
    }

    #[divan::bench(args = cases())]
    fn fused(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &shapes(case), |x| {
            fused::modulated_layer_norm(x.get(0), x.get(1), x.get(2), EPS)
        });
    }

    #[divan::bench(args = cases())]
    fn composed(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &shapes(case), |x| {
            reference::modulated_layer_norm(x.get(0), x.get(1), x.get(2), EPS)
        });
    }
}

mod gated_residual {
    use super::*;

    fn shapes(case: Case) -> Vec<Vec<usize>> {
        let x = case.tokens_of(case.features);
        vec![x.clone(), x, case.per_sample()]
    }

    #[divan::bench(args = cases())]
    fn fused(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &shapes(case), |x| {
            fused::gated_residual(x.get(0), x.get(1), x.get(2))
        });
    }

    #[divan::bench(args = cases())]
    fn composed(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &shapes(case), |x| {
            reference::gated_residual(x.get(0), x.get(1), x.get(2))
        });
    }
}

mod attention {
    use super::*;

    fn shapes(case: Case) -> Vec<Vec<usize>> {
        vec![case.tokens_of(case.features); 3]
    }

    #[divan::bench(args = cases())]
    fn fused(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &shapes(case), |x| {
            fused::attention(x.get(0), x.get(1), x.get(2), case.heads)
        });
    }

    #[divan::bench(args = cases())]
    fn composed(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &shapes(case), |x| {
            reference::attention(x.get(0), x.get(1), x.get(2), case.heads)
        });
    }
}

mod dense_projection {
    use super::*;

    fn shapes(case: Case) -> Vec<Vec<usize>> {
        let (n, m) = (case.features, MLP * case.features);
        vec![vec![case.rows(), n], vec![m, n], vec![m]]
    }

    #[divan::bench(args = cases())]
    fn fused(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &shapes(case), |x| {
            fused::dense_projection(x.get(0), x.get(1), x.get(2))
        });
    }

    #[divan::bench(args = cases())]
    fn composed(bencher: Bencher<'_, '_>, case: Case) {
        time(bencher, case, &shapes(case), |x| {
            reference::dense_projection(x.get(0), x.get(1), x.get(2))
        });
    }
}

mod projection {
    use super::*;

    fn shapes(case: Case) -> Vec<Vec<usize>> {
        let n = case.features;
        let mut shapes = vec![vec![case.rows(), n]];
        shapes.extend(case.projection(n, MLP * n));
        shapes
    }

    #[divan::bench(args = cases())]
    fn fused(bencher: Bencher<'_, '_>, case: Case) {
        let plan = case.plan();
        time(bencher, case, &shapes(case), |x| {
            fused::projection(x.get(0), x.projection(1), &plan)
        });
    }

    #[divan::bench(args = cases())]
    fn composed(bencher: Bencher<'_, '_>, case: Case) {
        let plan = case.plan();
        time(bencher, case, &shapes(case), |x| {
            reference::projection(x.get(0), x.projection(1), &plan)
        });
    }
}

mod transformer_block {
    use super::*;

    type Block = fn(Tensor<3>, Tensor<2>, BlockWeights, &GatePlan, BlockSettings) -> Tensor<3>;

    fn shapes(case: Case) -> Vec<Vec<usize>> {
        let (d, hidden) = (case.features, MLP * case.features);
        let mut shapes = vec![
            vec![case.samples, case.tokens, d],
            vec![case.samples, 6 * d],
        ];
        for (n, m) in [(d, d), (d, d), (d, d), (d, d), (d, hidden), (hidden, d)] {
            shapes.extend(case.projection(n, m));
        }
        shapes
    }

    fn run(bencher: Bencher<'_, '_>, case: Case, of: Block) {
        let plan = case.plan();
        let settings = BlockSettings {
            heads: case.heads,
            eps: [EPS; 2],
            mode: Mode::default(),
        };
        time(bencher, case, &shapes(case), |x| {
            let [q, k, v, o, input, output] =
                std::array::from_fn(|i| x.projection(2 + i * PROJECTION));
            let weights = BlockWeights {
                q,
                k,
                v,
                o,
                input,
                output,
            };
            of(x.get(0), x.get(1), weights, &plan, settings)
        });
    }

    #[divan::bench(args = cases())]
    fn fused(bencher: Bencher<'_, '_>, case: Case) {
        run(bencher, case, fused::transformer_block);
    }

    #[divan::bench(args = cases())]
    fn composed(bencher: Bencher<'_, '_>, case: Case) {
        run(bencher, case, reference::transformer_block);
    }
}

/// Images or latents, `[b, c, h, w]`.
const PIXELS: [[usize; 4]; 2] = [[48, 3, 32, 32], [32, 4, 32, 32]];

fn normal(shape: [usize; 4]) -> Tensor<4> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

/// The loss of a batch whose predictions alone are differentiated.
mod mean_squared_error {
    use super::*;

    type Error = fn(Tensor<4>, Tensor<4>, Tensor<4>, &[[f64; 2]]) -> Tensor<1>;

    fn run(bencher: Bencher<'_, '_>, Pass { shape, backward }: Pass, of: Error) {
        let [said, image, noise] = [0; 3].map(|_| normal(shape));
        let weights: Vec<_> = (0..shape[0])
            .map(|i| (i as f64).sin_cos())
            .map(|(a, c)| [a, c])
            .collect();
        let losses = |said| of(said, image.clone(), noise.clone(), &weights);
        if backward {
            bencher
                .with_inputs(|| said.clone().autodiff().require_grad())
                .bench_local_values(|said| losses(said).mean().backward());
        } else {
            bencher.bench_local(|| losses(said.clone()));
        }
    }

    fn passes() -> Vec<Pass> {
        let both = |shape| [false, true].map(|backward| Pass { shape, backward });
        PIXELS.into_iter().flat_map(both).collect()
    }

    #[divan::bench(args = passes())]
    fn fused(bencher: Bencher<'_, '_>, pass: Pass) {
        run(bencher, pass, fused::mean_squared_error);
    }

    #[divan::bench(args = passes())]
    fn composed(bencher: Bencher<'_, '_>, pass: Pass) {
        run(bencher, pass, reference::mean_squared_error);
    }

    #[derive(Clone, Copy)]
    struct Pass {
        shape: [usize; 4],
        backward: bool,
    }

    impl fmt::Display for Pass {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Self { shape, backward } = self;
            let pass = if *backward { "and backward" } else { "forward" };
            write!(f, "{shape:?} {pass}")
        }
    }
}

/// A guided step of DDPM with clipping; with the clean image kept, one of DPM-Solver++(2M).
mod sampler_step {
    use super::*;

    const STEP: SamplerStep = SamplerStep {
        guidance: Some(2.0),
        clean: [0.7, -0.7],
        limit: Some(1.0),
        next: [0.5, 0.6],
    };

    fn run<T>(
        bencher: Bencher<'_, '_>,
        shape: [usize; 4],
        of: impl Fn(Tensor<4>, Tensor<4>, Tensor<4>) -> T,
    ) {
        let [b, c, h, w] = shape;
        let (said, other) = (normal([2 * b, c, h, w]), normal(shape));
        bencher
            .with_inputs(|| normal(shape))
            .bench_local_values(|x| of(x, said.clone(), other.clone()));
    }

    #[divan::bench(args = PIXELS, name = "fused")]
    fn fused_step(bencher: Bencher<'_, '_>, shape: [usize; 4]) {
        run(bencher, shape, |x, said, other| {
            fused::sampler_step(x, said, Some((other, 0.3)), STEP)
        });
    }

    #[divan::bench(args = PIXELS)]
    fn fused_and_clean(bencher: Bencher<'_, '_>, shape: [usize; 4]) {
        run(bencher, shape, |x, said, other| {
            fused::sampler_step_and_clean(x, said, Some((other, 0.3)), STEP)
        });
    }

    #[divan::bench(args = PIXELS)]
    fn composed(bencher: Bencher<'_, '_>, shape: [usize; 4]) {
        run(bencher, shape, |x, said, other| {
            reference::sampler_step_and_clean(x, said, Some((other, 0.3)), STEP)
        });
    }
}

/// Clipping, AdamW and the moving average of all parameters, beside what the memory does: the same bytes scaled in
/// place and a triad (`a = b + 2 c`), on all threads. Five slices are read and four written, so the column GB/s of `update` over the
/// better one of the others is the share of the memory's speed.
mod optimiser {
    use super::*;
    use divan::counter::BytesCount;
    use learngene_kernels::{AdamW, Parameter, Step};
    use rayon::prelude::*;

    /// Parameters of dit-nano/4 with 12 tailors, and of dense dit-s/4: 4.4 and 33 million.
    const PARAMETERS: [usize; 2] = [4_412_544, 32_600_000];
    /// Numbers of a tensor.
    const TENSOR: usize = 192 * 768;
    const PIECE: usize = 16 * 1024;

    fn bytes(numbers: usize) -> BytesCount {
        BytesCount::new(numbers * size_of::<f32>())
    }

    #[divan::bench(args = PARAMETERS)]
    fn update(bencher: Bencher<'_, '_>, n: usize) {
        let rule = AdamW {
            beta1: 0.9,
            beta2: 0.99,
            step: 1e-3,
            root: 1.0,
            eps: 1e-8,
            decay: 1.0,
            scale: 0.5,
            ema: 0.995,
        };
        let [mut weights, mut ema, mut m, mut v, grads] =
            [1.0f32, 1.0, 0.0, 0.1, 0.01].map(|x| vec![x; n]);
        bencher.counter(bytes(9 * n)).bench_local(|| {
            let state = m.chunks_mut(TENSOR).zip(v.chunks_mut(TENSOR));
            let weights = weights.chunks_mut(TENSOR).zip(ema.chunks_mut(TENSOR));
            let step = |(((weights, ema), (m, v)), grads)| Step {
                rule,
                parameter: Parameter { weights, ema, m, v },
                grads,
                rested: &[],
            };
            fused::update(
                weights
                    .zip(state)
                    .zip(grads.chunks(TENSOR))
                    .map(step)
                    .collect(),
            );
        });
    }

    #[divan::bench(args = PARAMETERS)]
    fn scale(bencher: Bencher<'_, '_>, n: usize) {
        let mut memory = vec![1.0f32; 5 * n];
        bencher.counter(bytes(2 * 5 * n)).bench_local(|| {
            let pieces = memory.par_chunks_mut(PIECE);
            pieces.for_each(|piece| piece.iter_mut().for_each(|x| *x *= 0.999));
        });
    }

    #[divan::bench(args = PARAMETERS)]
    fn triad(bencher: Bencher<'_, '_>, n: usize) {
        let n = 2 * n;
        let [mut a, b, c] = [0.0f32, 1.0, 2.0].map(|x| vec![x; n]);
        bencher.counter(bytes(3 * n)).bench_local(|| {
            let sources = b.par_chunks(PIECE).zip(c.par_chunks(PIECE));
            a.par_chunks_mut(PIECE)
                .zip(sources)
                .for_each(|(a, (b, c))| {
                    a.iter_mut()
                        .zip(b)
                        .zip(c)
                        .for_each(|((a, b), c)| *a = b + 2.0 * c);
                });
        });
    }
}

/// What one core multiplies and adds a second, in registers: 32-bit floats, and 16-bit ones (`vdpbf16ps`, which adds in 32
/// bits). Shorter numbers can make products faster only where the second is larger than the first. Counted are operations,
/// two to a multiplication with its addition.
#[cfg(target_arch = "x86_64")]
mod arithmetic {
    use super::*;
    use divan::counter::ItemsCount;
    use std::arch::x86_64::{
        __m512, __m512bh, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_set1_ps, _mm512_setzero_ps,
    };
    use std::array::from_fn;
    use std::hint::black_box;

    const ROUNDS: usize = 100_000;
    /// As many independent sums as hide the latency of an instruction.
    const SUMS: usize = 16;
    /// Lanes of a sum.
    const LANES: usize = 16;

    #[target_feature(enable = "avx512f")]
    fn multiply_add(x: f32) -> [__m512; SUMS] {
        let (a, b) = (_mm512_set1_ps(x), _mm512_set1_ps(1.0 - x));
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..ROUNDS {
            sums = from_fn(|i| _mm512_fmadd_ps(a, b, sums[i]));
        }
        sums
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn multiply_add_pairs(pairs: [__m512bh; 2]) -> [__m512; SUMS] {
        let [a, b] = pairs;
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..ROUNDS {
            sums = from_fn(|i| _mm512_dpbf16_ps(sums[i], a, b));
        }
        sums
    }

    #[divan::bench]
    fn f32(bencher: Bencher<'_, '_>) {
        if is_x86_feature_detected!("avx512f") {
            let operations = ItemsCount::new(2 * ROUNDS * SUMS * LANES);
            #[expect(unsafe_code, reason = "the instructions are there")]
            // SAFETY: the processor has the feature, as tested above.
            bencher
                .counter(operations)
                .bench_local(|| unsafe { multiply_add(black_box(0.5)) });
        }
    }

    #[divan::bench]
    fn bf16(bencher: Bencher<'_, '_>) {
        if is_x86_feature_detected!("avx512bf16") {
            let operations = ItemsCount::new(4 * ROUNDS * SUMS * LANES);
            #[expect(
                unsafe_code,
                reason = "the instructions are there; any bits are bf16 numbers"
            )]
            // SAFETY: the processor has the feature, as tested above; 32 numbers of 16 bits are 512 bits without padding.
            bencher.counter(operations).bench_local(|| unsafe {
                let ones = std::mem::transmute::<[u16; 32], __m512bh>(black_box([0x3f80; 32]));
                multiply_add_pairs([ones, ones])
            });
        }
    }
}
