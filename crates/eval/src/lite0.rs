//! EfficientNet-Lite0 (Tan and Le, arXiv 1905.11946; the Lite variant without squeeze-and-excitation and
//! with ReLU6) as a fixed feature extractor.
//!
//! One inverted residual block is `expand` (1x1, to six times the channels), `depthwise` (3x3 or 5x5, one
//! filter per channel) and `project` (1x1, linear); the input is added where the shape did not change.
//! Batch norm is folded into the weights. Padding is TensorFlow's SAME: `out = ceil(in / stride)`, and of
//! an odd number of padded pixels the extra one goes right and to the bottom.

use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::EvalError;
use crate::layers::{
    Conv, Depthwise, Kernel, Map, Padding, Pointwise, Then, Weights, global_average,
};
use crate::matrix::RowMatrix;
use crate::metrics::{Layer, Network, Origin};
use crate::resize::{Filter, ImageView, check_all, resized};

/// The built-in weights: float16, ImageNet-1K, see `assets/lite0/README.md`.
const BUILT_IN: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../assets/lite0/efficientnet-lite0-f16.safetensors"
));

/// Blocks per stage, kernel, stride of the first block, expansion, output channels.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];
const STEM_CHANNELS: usize = 32;
const STEM: Kernel = Kernel {
    height: 3,
    width: 3,
    stride: 2,
    padding: Padding::Same,
};

/// The feature extractor. It runs on the CPU, whatever device a model is trained on.
#[derive(Debug)]
pub struct Lite0 {
    stem: Conv,
    blocks: Vec<Block>,
    head: Pointwise,
    classifier: Pointwise,
    fingerprint: String,
}

#[derive(Debug)]
struct Block {
    expand: Option<Pointwise>,
    depthwise: Depthwise,
    project: Pointwise,
    residual: bool,
}

/// Layers of one image on its way through the network; one set per thread, used again for the next image.
#[derive(Debug, Default)]
struct Scratch {
    input: Map,
    wide: Map,
    filtered: Map,
    output: Map,
    unfolded: Vec<f32>,
}

impl Lite0 {
    /// Length of a feature vector: channels of the last layer before the classifier.
    pub const FEATURES: usize = 1280;
    /// Classes of ImageNet-1K.
    pub const CLASSES: usize = 1000;
    /// Side of the square, in pixels, that the network was trained on.
    pub const INPUT: usize = 224;
    /// Sides that are accepted: below, the last layers see nothing but padding.
    pub const INPUT_RANGE: std::ops::RangeInclusive<usize> = 32..=1024;

    /// Loads the built-in weights.
    ///
    /// # Errors
    /// None in practice: the file is a part of the program.
    pub fn load() -> Result<Self, EvalError> {
        Self::from_safetensors(BUILT_IN)
    }

    /// Loads weights of the same layout from the bytes of a safetensors file (float16 or float32).
    ///
    /// # Errors
    /// [`EvalError::WeightsUnreadable`] for a damaged file, [`EvalError::WeightsMismatch`] with every
    /// missing, unexpected, mis-shaped or non-finite tensor.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, EvalError> {
        let mut weights = Weights::read(bytes, "EfficientNet-Lite0 with folded batch norm")?;
        let stem = Conv::read(&mut weights, "stem", [STEM_CHANNELS, 3], STEM, 6.0);
        let mut blocks = Vec::new();
        let mut channels = STEM_CHANNELS;
        for (repeats, kernel, first_stride, expansion, out) in STAGES {
            for repeat in 0..repeats {
                let stride = if repeat == 0 { first_stride } else { 1 };
                let name = format!("blocks.{}", blocks.len());
                let wide = channels * expansion;
                let expand = (expansion != 1).then(|| {
                    Pointwise::read(
                        &mut weights,
                        &format!("{name}.expand"),
                        &[wide, channels, 1, 1],
                    )
                });
                blocks.push(Block {
                    expand,
                    depthwise: Depthwise::read(
                        &mut weights,
                        &format!("{name}.depthwise"),
                        wide,
                        kernel,
                        stride,
                    ),
                    project: Pointwise::read(
                        &mut weights,
                        &format!("{name}.project"),
                        &[out, wide, 1, 1],
                    ),
                    residual: stride == 1 && channels == out,
                });
                channels = out;
            }
        }
        let head = Pointwise::read(&mut weights, "head", &[Self::FEATURES, channels, 1, 1]);
        let classifier =
            Pointwise::read(&mut weights, "classifier", &[Self::CLASSES, Self::FEATURES]);
        weights.finish()?;
        Ok(Self {
            stem,
            blocks,
            head,
            classifier,
            fingerprint: blake3::hash(bytes).to_hex().to_string(),
        })
    }

    /// What its features come from, if images are resized to `input_size`.
    pub fn origin(&self, input_size: usize) -> Origin {
        Origin {
            network: Network::Lite0,
            layer: Layer::Pooled,
            weights: self.fingerprint.clone(),
            resize: format!("bicubic {input_size}"),
        }
    }

    /// Feature vectors, one row of [`Self::FEATURES`] values per image: the global average after the last
    /// convolution. Every image is resized to `input_size` x `input_size` (bicubic).
    ///
    /// Images run in parallel on the threads of the current rayon pool; a row does not depend on their number.
    /// `progress` is called with (images done, images in all) after every image, from any of these threads.
    ///
    /// # Errors
    /// [`EvalError::InputSize`] outside [`Self::INPUT_RANGE`], [`EvalError::ImageSize`] for the first image
    /// whose bytes do not fit its dimensions.
    pub fn features(
        &self,
        images: &[ImageView<'_>],
        input_size: usize,
        progress: impl Fn(usize, usize) + Sync,
    ) -> Result<RowMatrix, EvalError> {
        if !Self::INPUT_RANGE.contains(&input_size) {
            return Err(EvalError::InputSize {
                found: input_size,
                lowest: *Self::INPUT_RANGE.start(),
                highest: *Self::INPUT_RANGE.end(),
            });
        }
        check_all(images)?;
        let done = AtomicUsize::new(0);
        let mut values = vec![0.0; images.len() * Self::FEATURES];
        let rows = values.par_chunks_exact_mut(Self::FEATURES).zip(images);
        rows.for_each_init(Scratch::default, |scratch, (row, image)| {
            scratch
                .input
                .set(input_size, 3, resized(image, input_size, Filter::Bicubic));
            self.forward(scratch, row);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, images.len());
        });
        RowMatrix::new(Self::FEATURES, values)
    }

    /// ImageNet logits, one row of [`Self::CLASSES`] values per row of `features`.
    ///
    /// # Errors
    /// [`EvalError::Width`] if the rows are not feature vectors of this network.
    pub fn logits(&self, features: &RowMatrix) -> Result<RowMatrix, EvalError> {
        self.classifier.matrix(features)
    }

    /// Sends `scratch.input` (`[size, size, 3]`, values in [-1, 1]) through the network into `features`.
    fn forward(&self, scratch: &mut Scratch, features: &mut [f32]) {
        let Scratch {
            input,
            wide,
            filtered,
            output,
            unfolded,
        } = scratch;
        self.stem.forward(input, unfolded, output);
        std::mem::swap(input, output);
        for block in &self.blocks {
            match &block.expand {
                Some(expand) => {
                    expand.forward(input, &Then::Relu6, wide);
                    block.depthwise.forward(wide, filtered);
                }
                None => block.depthwise.forward(input, filtered),
            }
            let then = if block.residual {
                Then::Add(input)
            } else {
                Then::Nothing
            };
            block.project.forward(filtered, &then, output);
            std::mem::swap(input, output);
        }
        self.head.forward(input, &Then::Relu6, wide);
        global_average(wide, features);
    }
}
