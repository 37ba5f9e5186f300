//! EfficientNet-Lite0 (Tan and Le, arXiv 1905.11946; the Lite variant without squeeze-and-excitation and
//! with ReLU6) as a fixed feature extractor.
//!
//! One inverted residual block is `expand` (1x1, to six times the channels), `depthwise` (3x3 or 5x5, one
//! filter per channel) and `project` (1x1, linear); the input is added where the shape did not change.
//! Batch norm is folded into the weights. Padding is TensorFlow's SAME: `out = ceil(in / stride)`, and of
//! an odd number of padded pixels the extra one goes right and to the bottom.

mod conv;
mod weights;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::conv::Conv;
use self::weights::Weights;
use crate::error::EvalError;
use crate::matrix::RowMatrix;
use crate::resize::{ImageView, push_planes};

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

/// Images that go through the network together; several such batches run side by side.
const BATCH: usize = 8;

/// The feature extractor, its weights on one device.
#[derive(Debug)]
pub struct Lite0 {
    device: Device,
    stem: Conv,
    blocks: Vec<Block>,
    head: Conv,
    /// `[features, classes]`.
    classifier: Tensor<2>,
    classifier_bias: Tensor<1>,
}

#[derive(Debug)]
struct Block {
    expand: Option<Conv>,
    depthwise: Conv,
    project: Conv,
    residual: bool,
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
    pub fn load(device: &Device) -> Result<Self, EvalError> {
        Self::from_safetensors(BUILT_IN, device)
    }

    /// Loads weights of the same layout from the bytes of a safetensors file (float16 or float32).
    ///
    /// # Errors
    /// [`EvalError::WeightsUnreadable`] for a damaged file, [`EvalError::WeightsMismatch`] with every
    /// missing, unexpected, mis-shaped or non-finite tensor.
    pub fn from_safetensors(bytes: &[u8], device: &Device) -> Result<Self, EvalError> {
        let mut weights = Weights::read(bytes, device)?;
        let stem = Conv::read(&mut weights, "stem", [STEM_CHANNELS, 3, 3, 3], 2, 1);
        let mut blocks = Vec::new();
        let mut channels = STEM_CHANNELS;
        for (repeats, kernel, first_stride, expansion, out) in STAGES {
            for repeat in 0..repeats {
                let stride = if repeat == 0 { first_stride } else { 1 };
                let name = format!("blocks.{}", blocks.len());
                blocks.push(Block::read(
                    &mut weights,
                    &name,
                    channels,
                    expansion,
                    kernel,
                    stride,
                    out,
                ));
                channels = out;
            }
        }
        let head = Conv::read(&mut weights, "head", [Self::FEATURES, channels, 1, 1], 1, 1);
        let classifier = weights.take("classifier.weight", [Self::CLASSES, Self::FEATURES]);
        let classifier_bias = weights.take("classifier.bias", [Self::CLASSES]);
        weights.finish()?;
        Ok(Self {
            device: device.clone(),
            stem,
            blocks,
            head,
            classifier: classifier.transpose(),
            classifier_bias,
        })
    }

    /// Feature vectors, one row of [`Self::FEATURES`] values per image: the global average after the last
    /// convolution. Every image is resized to `input_size` x `input_size` (bicubic).
    ///
    /// Batches run in parallel on the threads of the current rayon pool. `progress` is called with
    /// (images done, images in all) after every batch, from any of these threads.
    ///
    /// # Errors
    /// [`EvalError::InputSize`] outside [`Self::INPUT_RANGE`], [`EvalError::ImageSize`] for the first image
    /// whose bytes do not fit its dimensions, [`EvalError::Device`] if a result cannot be read back.
    pub fn features(
        &self,
        images: &[ImageView<'_>],
        input_size: usize,
        progress: impl Fn(usize, usize) + Sync,
    ) -> Result<RowMatrix, EvalError> {
        check(images, input_size)?;
        let done = AtomicUsize::new(0);
        let batches: Vec<Vec<f32>> = images
            .par_chunks(BATCH)
            .map(|batch| {
                let rows = read_back(self.forward(self.planes(batch, input_size)))?;
                progress(
                    done.fetch_add(batch.len(), Ordering::Relaxed) + batch.len(),
                    images.len(),
                );
                Ok(rows)
            })
            .collect::<Result<_, EvalError>>()?;
        RowMatrix::new(Self::FEATURES, batches.concat())
    }

    /// The input of [`Self::forward`]: `[images, 3, input_size, input_size]`, values in [-1, 1].
    ///
    /// # Errors
    /// As [`Self::features`].
    pub fn prepare(
        &self,
        images: &[ImageView<'_>],
        input_size: usize,
    ) -> Result<Tensor<4>, EvalError> {
        check(images, input_size)?;
        Ok(self.planes(images, input_size))
    }

    fn planes(&self, images: &[ImageView<'_>], size: usize) -> Tensor<4> {
        let mut planes = Vec::with_capacity(images.len() * 3 * size * size);
        for image in images {
            push_planes(image, size, &mut planes);
        }
        Tensor::from_data(
            TensorData::new(planes, [images.len(), 3, size, size]),
            &self.device,
        )
    }

    /// ImageNet logits, one row of [`Self::CLASSES`] values per row of `features`.
    ///
    /// # Errors
    /// [`EvalError::Width`] if the rows are not feature vectors of this network.
    pub fn logits(&self, features: &RowMatrix) -> Result<RowMatrix, EvalError> {
        if features.columns() != Self::FEATURES {
            return Err(EvalError::Width {
                expected: Self::FEATURES,
                found: features.columns(),
            });
        }
        if features.rows() == 0 {
            return RowMatrix::new(Self::CLASSES, Vec::new());
        }
        let data = TensorData::new(
            features.values().to_vec(),
            [features.rows(), Self::FEATURES],
        );
        let features = Tensor::<2>::from_data(data, &self.device);
        let logits =
            features.matmul(self.classifier.clone()) + self.classifier_bias.clone().unsqueeze();
        RowMatrix::new(Self::CLASSES, read_back(logits)?)
    }

    /// Features of prepared images: `[batch, 3, size, size]` with values in [-1, 1] to `[batch, 1280]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = relu6(self.stem.forward(images));
        for block in &self.blocks {
            x = block.forward(x);
        }
        let x = relu6(self.head.forward(x));
        x.flatten::<3>(2, 3).mean_dim(2).squeeze_dim::<2>(2)
    }
}

impl Block {
    fn read(
        weights: &mut Weights<'_>,
        name: &str,
        channels: usize,
        expansion: usize,
        kernel: usize,
        stride: usize,
        out: usize,
    ) -> Self {
        let wide = channels * expansion;
        let expand = (expansion != 1).then(|| {
            Conv::read(
                weights,
                &format!("{name}.expand"),
                [wide, channels, 1, 1],
                1,
                1,
            )
        });
        let depthwise = [wide, 1, kernel, kernel];
        Self {
            expand,
            depthwise: Conv::read(
                weights,
                &format!("{name}.depthwise"),
                depthwise,
                stride,
                wide,
            ),
            project: Conv::read(weights, &format!("{name}.project"), [out, wide, 1, 1], 1, 1),
            residual: stride == 1 && channels == out,
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let skip = self.residual.then(|| x.clone());
        let x = match &self.expand {
            Some(expand) => relu6(expand.forward(x)),
            None => x,
        };
        let x = relu6(self.depthwise.forward(x));
        let x = self.project.forward(x);
        match skip {
            Some(skip) => x + skip,
            None => x,
        }
    }
}

fn check(images: &[ImageView<'_>], input_size: usize) -> Result<(), EvalError> {
    if !Lite0::INPUT_RANGE.contains(&input_size) {
        return Err(EvalError::InputSize {
            found: input_size,
            lowest: *Lite0::INPUT_RANGE.start(),
            highest: *Lite0::INPUT_RANGE.end(),
        });
    }
    images
        .iter()
        .enumerate()
        .try_for_each(|(index, image)| image.check(index))
}

fn relu6(x: Tensor<4>) -> Tensor<4> {
    x.clamp(0.0, 6.0)
}

fn read_back(tensor: Tensor<2>) -> Result<Vec<f32>, EvalError> {
    let data = tensor.try_into_data().map_err(|error| EvalError::Device {
        reason: error.to_string(),
    })?;
    data.try_into_vec_as::<f32>()
        .map_err(|error| EvalError::Device {
            reason: error.to_string(),
        })
}
