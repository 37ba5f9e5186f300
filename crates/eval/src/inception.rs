//! InceptionV3 (Szegedy et al., arXiv 1512.00567) as the Frechet inception distance is defined on: the network of
//! TensorFlow's `inception-2015-12-05`, of which pytorch-fid has the weights under PyTorch's names.
//!
//! It differs from other InceptionV3s: average pooling leaves padding out of the count, the last block takes the largest
//! value where the one before averages, there are 1008 logits, and images are enlarged to 299 pixels with plain bilinear
//! interpolation (also those that are larger: no filter against aliasing).
//!
//! The weights are not part of this program. From pytorch-fid's file they are converted by
//!
//! ```text
//! import torch
//! from safetensors.torch import save_file
//! weights = torch.load("pt_inception-2015-12-05-6726825d.pth", map_location="cpu")
//! weights = {name: value.contiguous() for name, value in weights.items()}
//! save_file(weights, "inception.safetensors")
//! ```

use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::EvalError;
use crate::layers::{
    Conv, Kernel, Map, Padding, Pointwise, Weights, average3, global_average, max3,
};
use crate::matrix::RowMatrix;
use crate::metrics::{Layer, Network, Origin};
use crate::resize::{Filter, ImageView, check_all, resized};

/// Added to the variance in batch norm.
const EPSILON: f32 = 1e-3;

/// The feature extractor. It runs on the CPU, whatever device a model is trained on.
#[derive(Debug)]
pub struct Inception {
    /// Up to and without block `Mixed_6d`.
    first: Vec<Node>,
    /// `Mixed_6d` and the rest.
    last: Vec<Node>,
    /// The first branch of `Mixed_6d`, once more.
    spatial: Vec<Node>,
    classifier: Pointwise,
    fingerprint: String,
}

/// A layer, or several beside each other.
#[derive(Debug)]
enum Node {
    Conv(Conv),
    Average,
    Max {
        stride: usize,
        padding: Padding,
    },
    /// Branches of one input, whose channels are put one after another.
    Branches(Vec<Vec<Node>>),
}

/// Features of images, one row per image.
#[derive(Debug, Clone, PartialEq)]
pub struct InceptionFeatures {
    /// [`Inception::FEATURES`] averages after the last block: `pool_3`.
    pub pooled: RowMatrix,
    /// [`Inception::SPATIAL`] values of an inner layer by row, column, channel: the first 7 channels of the first branch of
    /// `mixed_6` (PyTorch's `Mixed_6d`), which ADM's `evaluator.py` takes for sFID.
    pub spatial: RowMatrix,
}

impl Inception {
    /// Length of a pooled feature vector.
    pub const FEATURES: usize = 2048;
    /// Length of a spatial feature vector.
    pub const SPATIAL: usize = 17 * 17 * Self::SPATIAL_CHANNELS;
    /// Logits.
    pub const CLASSES: usize = 1008;
    /// Side of the square, in pixels, to which every image is resized.
    pub const INPUT: usize = 299;
    const SPATIAL_CHANNELS: usize = 7;

    /// Loads weights from the bytes of a safetensors file (float16 or float32) with the names of pytorch-fid.
    ///
    /// # Errors
    /// [`EvalError::WeightsUnreadable`] for a damaged file, [`EvalError::WeightsMismatch`] with every missing, unexpected,
    /// mis-shaped or non-finite tensor.
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, EvalError> {
        let mut weights = Weights::read(bytes, "InceptionV3 under the names of pytorch-fid")?;
        let [first, last, spatial] = layers(&mut weights);
        let shape = [Self::CLASSES, Self::FEATURES];
        // Scores are computed without the bias, as OpenAI's and torch-fidelity's inception scores are.
        weights.take("fc.bias", &[Self::CLASSES]);
        let classifier = Pointwise::without_bias(&mut weights, "fc", &shape);
        weights.finish()?;
        Ok(Self {
            first,
            last,
            spatial,
            classifier,
            fingerprint: blake3::hash(bytes).to_hex().to_string(),
        })
    }

    /// What its features come from.
    pub fn origin(&self, layer: Layer) -> Origin {
        Origin {
            network: Network::InceptionV3,
            layer,
            weights: self.fingerprint.clone(),
            resize: format!("bilinear {}", Self::INPUT),
        }
    }

    /// Features of images, in parallel on the threads of the current rayon pool; a row does not depend on their number.
    /// `progress` is called with (images done, images in all) after every image, from any of these threads.
    ///
    /// # Errors
    /// [`EvalError::ImageSize`] for the first image whose bytes do not fit its dimensions.
    pub fn features(
        &self,
        images: &[ImageView<'_>],
        progress: impl Fn(usize, usize) + Sync,
    ) -> Result<InceptionFeatures, EvalError> {
        check_all(images)?;
        let done = AtomicUsize::new(0);
        let mut pooled = vec![0.0; images.len() * Self::FEATURES];
        let mut spatial = vec![0.0; images.len() * Self::SPATIAL];
        let rows = pooled.par_chunks_exact_mut(Self::FEATURES);
        let rows = rows.zip(spatial.par_chunks_exact_mut(Self::SPATIAL));
        rows.zip(images)
            .for_each_init(Vec::new, |unfolded, ((pooled, spatial), image)| {
                let mut input = Map::default();
                input.set(
                    Self::INPUT,
                    3,
                    resized(image, Self::INPUT, Filter::Bilinear),
                );
                let middle = run(&self.first, &input, unfolded);
                let inner = run(&self.spatial, &middle, unfolded);
                let pixels = inner.values().chunks_exact(inner.channels);
                for (kept, pixel) in spatial.chunks_exact_mut(Self::SPATIAL_CHANNELS).zip(pixels) {
                    kept.copy_from_slice(&pixel[..Self::SPATIAL_CHANNELS]);
                }
                global_average(&run(&self.last, &middle, unfolded), pooled);
                progress(done.fetch_add(1, Ordering::Relaxed) + 1, images.len());
            });
        Ok(InceptionFeatures {
            pooled: RowMatrix::new(Self::FEATURES, pooled)?,
            spatial: RowMatrix::new(Self::SPATIAL, spatial)?,
        })
    }

    /// Logits without the classifier's bias, of which the inception score is made: one row of [`Self::CLASSES`] values per
    /// row of pooled features.
    ///
    /// # Errors
    /// [`EvalError::Width`] if the rows are not pooled features of this network.
    pub fn logits(&self, pooled: &RowMatrix) -> Result<RowMatrix, EvalError> {
        self.classifier.matrix(pooled)
    }
}

/// Sends `input` through layers one after another.
fn run(nodes: &[Node], input: &Map, unfolded: &mut Vec<f32>) -> Map {
    let mut current: Option<Map> = None;
    for node in nodes {
        let input = current.as_ref().unwrap_or(input);
        let mut output = Map::default();
        match node {
            Node::Conv(conv) => conv.forward(input, unfolded, &mut output),
            Node::Average => average3(input, &mut output),
            Node::Max { stride, padding } => max3(input, *stride, *padding, &mut output),
            Node::Branches(branches) => {
                let parts = branches.iter().map(|branch| run(branch, input, unfolded));
                output = Map::joined(&parts.collect::<Vec<Map>>());
            }
        }
        current = Some(output);
    }
    // Only an empty list of layers leaves nothing.
    current.unwrap_or_default()
}

/// Layers one after another, and the channels that come out of the last.
struct Path {
    nodes: Vec<Node>,
    channels: usize,
}

/// Name, outputs, height and width of a filter.
type Spec<'a> = (&'a str, usize, [usize; 2]);

const ONE: [usize; 2] = [1, 1];
const THREE: [usize; 2] = [3, 3];
const FLAT: [usize; 2] = [1, 7];
const TALL: [usize; 2] = [7, 1];

/// Pooling to half the size.
const HALVE: Node = Node::Max {
    stride: 2,
    padding: Padding::Valid,
};

impl Path {
    const fn new(channels: usize) -> Self {
        Self {
            nodes: Vec::new(),
            channels,
        }
    }

    fn then(mut self, node: Node) -> Self {
        self.nodes.push(node);
        self
    }

    /// A convolution with batch norm folded in, then ReLU.
    fn conv(
        self,
        weights: &mut Weights<'_>,
        name: &str,
        (outputs, [height, width]): (usize, [usize; 2]),
        stride: usize,
        padding: Padding,
    ) -> Self {
        let kernel = Kernel {
            height,
            width,
            stride,
            padding,
        };
        let shape = [outputs, self.channels, height, width];
        let mut weight = weights.take(&format!("{name}.conv.weight"), &shape);
        let [gain, shift, mean] = ["weight", "bias", "running_mean"]
            .map(|part| weights.take(&format!("{name}.bn.{part}"), &[outputs]));
        let variance = weights.take_variance(&format!("{name}.bn.running_var"), &[outputs]);
        weights.pass_over(&format!("{name}.bn.num_batches_tracked"));
        let scale = gain.iter().zip(variance);
        let scale: Vec<f32> = scale
            .map(|(gain, variance)| gain / (variance + EPSILON).sqrt())
            .collect();
        let filters = weight.chunks_exact_mut(self.channels * height * width);
        for (filter, scale) in filters.zip(&scale) {
            filter.iter_mut().for_each(|value| *value *= scale);
        }
        let bias = shift.iter().zip(mean).zip(&scale);
        let bias = bias.map(|((shift, mean), scale)| shift - mean * scale);
        let conv = Conv::new(kernel, &weight, bias.collect(), f32::INFINITY);
        Self {
            channels: outputs,
            ..self.then(Node::Conv(conv))
        }
    }

    /// Convolutions of `block`, each of the size of its input.
    fn chain(self, weights: &mut Weights<'_>, block: &str, specs: &[Spec<'_>]) -> Self {
        specs.iter().fold(self, |path, &(name, outputs, sides)| {
            let name = format!("{block}.{name}");
            path.conv(weights, &name, (outputs, sides), 1, Padding::Same)
        })
    }

    /// A 3x3 convolution of `block` to half the size.
    fn halved(self, weights: &mut Weights<'_>, block: &str, name: &str, outputs: usize) -> Self {
        let name = format!("{block}.{name}");
        self.conv(weights, &name, (outputs, THREE), 2, Padding::Valid)
    }

    /// Branches that begin where this path ends.
    fn branches<const N: usize>(self, branches: [Self; N]) -> Self {
        let channels = branches.iter().map(|branch| branch.channels).sum();
        let node = Node::Branches(branches.map(|branch| branch.nodes).into());
        Self {
            channels,
            ..self.then(node)
        }
    }

    /// A flat and a tall filter beside each other.
    fn fork(self, w: &mut Weights<'_>, block: &str, [flat, tall]: [&str; 2]) -> Self {
        let start = || Self::new(self.channels);
        let branches = [
            start().chain(w, block, &[(flat, 384, [1, 3])]),
            start().chain(w, block, &[(tall, 384, [3, 1])]),
        ];
        self.branches(branches)
    }

    /// Filters up to 5x5 on 35x35 positions.
    fn block_a(self, w: &mut Weights<'_>, block: &str, pool: usize) -> Self {
        let start = || Self::new(self.channels);
        let five = [("branch5x5_1", 48, ONE), ("branch5x5_2", 64, [5, 5])];
        let double = [
            ("branch3x3dbl_1", 64, ONE),
            ("branch3x3dbl_2", 96, THREE),
            ("branch3x3dbl_3", 96, THREE),
        ];
        let pooled = start().then(Node::Average);
        let branches = [
            start().chain(w, block, &[("branch1x1", 64, ONE)]),
            start().chain(w, block, &five),
            start().chain(w, block, &double),
            pooled.chain(w, block, &[("branch_pool", pool, ONE)]),
        ];
        self.branches(branches)
    }

    /// From 35x35 to 17x17.
    fn block_b(self, w: &mut Weights<'_>, block: &str) -> Self {
        let start = || Self::new(self.channels);
        let double = [("branch3x3dbl_1", 64, ONE), ("branch3x3dbl_2", 96, THREE)];
        let double = start().chain(w, block, &double);
        let branches = [
            start().halved(w, block, "branch3x3", 384),
            double.halved(w, block, "branch3x3dbl_3", 96),
            start().then(HALVE),
        ];
        self.branches(branches)
    }

    /// Filters of 7x7 in two parts on 17x17 positions.
    fn block_c(self, w: &mut Weights<'_>, block: &str, width: usize) -> Self {
        let start = || Self::new(self.channels);
        let single = [
            ("branch7x7_1", width, ONE),
            ("branch7x7_2", width, FLAT),
            ("branch7x7_3", 192, TALL),
        ];
        let double = [
            ("branch7x7dbl_1", width, ONE),
            ("branch7x7dbl_2", width, TALL),
            ("branch7x7dbl_3", width, FLAT),
            ("branch7x7dbl_4", width, TALL),
            ("branch7x7dbl_5", 192, FLAT),
        ];
        let pooled = start().then(Node::Average);
        let branches = [
            start().chain(w, block, &[SPATIAL_BRANCH]),
            start().chain(w, block, &single),
            start().chain(w, block, &double),
            pooled.chain(w, block, &[("branch_pool", 192, ONE)]),
        ];
        self.branches(branches)
    }

    /// From 17x17 to 8x8.
    fn block_d(self, w: &mut Weights<'_>, block: &str) -> Self {
        let start = || Self::new(self.channels);
        let seven = [
            ("branch7x7x3_1", 192, ONE),
            ("branch7x7x3_2", 192, FLAT),
            ("branch7x7x3_3", 192, TALL),
        ];
        let three = start().chain(w, block, &[("branch3x3_1", 192, ONE)]);
        let seven = start().chain(w, block, &seven);
        let branches = [
            three.halved(w, block, "branch3x3_2", 320),
            seven.halved(w, block, "branch7x7x3_4", 192),
            start().then(HALVE),
        ];
        self.branches(branches)
    }

    /// Branches that divide once more, on 8x8 positions.
    fn block_e(self, w: &mut Weights<'_>, block: &str, pool: Node) -> Self {
        let start = || Self::new(self.channels);
        let double = [("branch3x3dbl_1", 448, ONE), ("branch3x3dbl_2", 384, THREE)];
        let three = start().chain(w, block, &[("branch3x3_1", 384, ONE)]);
        let double = start().chain(w, block, &double);
        let pooled = start().then(pool);
        let branches = [
            start().chain(w, block, &[("branch1x1", 320, ONE)]),
            three.fork(w, block, ["branch3x3_2a", "branch3x3_2b"]),
            double.fork(w, block, ["branch3x3dbl_3a", "branch3x3dbl_3b"]),
            pooled.chain(w, block, &[("branch_pool", 192, ONE)]),
        ];
        self.branches(branches)
    }
}

/// The first branch of the blocks on 17x17 positions.
const SPATIAL_BRANCH: Spec<'static> = ("branch1x1", 192, ONE);

/// All layers, and the branch of the spatial features.
fn layers(w: &mut Weights<'_>) -> [Vec<Node>; 3] {
    let first = Path::new(3)
        .conv(w, "Conv2d_1a_3x3", (32, THREE), 2, Padding::Valid)
        .conv(w, "Conv2d_2a_3x3", (32, THREE), 1, Padding::Valid)
        .conv(w, "Conv2d_2b_3x3", (64, THREE), 1, Padding::Same)
        .then(HALVE)
        .conv(w, "Conv2d_3b_1x1", (80, ONE), 1, Padding::Valid)
        .conv(w, "Conv2d_4a_3x3", (192, THREE), 1, Padding::Valid)
        .then(HALVE)
        .block_a(w, "Mixed_5b", 32)
        .block_a(w, "Mixed_5c", 64)
        .block_a(w, "Mixed_5d", 64)
        .block_b(w, "Mixed_6a")
        .block_c(w, "Mixed_6b", 128)
        .block_c(w, "Mixed_6c", 160);
    let spatial = Path::new(first.channels).chain(w, "Mixed_6d", &[SPATIAL_BRANCH]);
    let largest = Node::Max {
        stride: 1,
        padding: Padding::Same,
    };
    let last = Path::new(first.channels)
        .block_c(w, "Mixed_6d", 160)
        .block_c(w, "Mixed_6e", 192)
        .block_d(w, "Mixed_7a")
        .block_e(w, "Mixed_7b", Node::Average)
        .block_e(w, "Mixed_7c", largest);
    [first, last, spatial].map(|path| path.nodes)
}
