//! Between Burn's CPU tensors and plain slices of floats.

use burn::backend::DispatchDevice;
use burn::tensor::{Bytes, DType, Device, Shape, Tensor};
use burn_flex::{FlexTensor, Layout};

/// Elements per task of an elementwise loop: 64 KiB, so one task's input and output stay in a core's second-level cache.
pub(crate) const TASK: usize = 16 * 1024;

/// Whether the fused implementation can take this tensor: on the CPU backend, 32-bit floats, not empty.
pub(crate) fn is_fused<const D: usize>(tensor: &Tensor<D>) -> bool {
    is_cpu(&tensor.device()) && tensor.dtype() == DType::F32 && tensor.shape().num_elements() > 0
}

/// Whether a device is the CPU, tracked or not.
pub fn is_cpu(device: &Device) -> bool {
    match device.as_dispatch() {
        DispatchDevice::Autodiff(tracked) => matches!(**tracked, DispatchDevice::Flex(_)),
        DispatchDevice::Flex(_) => true,
        #[allow(
            unreachable_patterns,
            reason = "other backends are features of the binary"
        )]
        _ => false,
    }
}

/// A row-major view of a tensor's elements; copies only if the tensor is not contiguous.
pub(crate) struct Values(FlexTensor);

impl Values {
    pub(crate) fn new(tensor: FlexTensor) -> Self {
        Self(if tensor.is_contiguous() {
            tensor
        } else {
            tensor.to_contiguous()
        })
    }
}

impl std::ops::Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        #[expect(
            clippy::expect_used,
            reason = "made contiguous by `new`, element type checked by `is_fused`"
        )]
        self.0.as_slice().expect("contiguous 32-bit floats")
    }
}

/// A tensor from row-major elements.
pub(crate) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(shape),
        DType::F32,
    )
}

/// Each task with its piece of `values`, `len(task)` numbers long.
pub(crate) fn pieces<T>(
    mut values: &mut [f32],
    tasks: Vec<T>,
    len: impl Fn(&T) -> usize,
) -> Vec<(T, &mut [f32])> {
    let with_piece = |task: T| {
        let (piece, rest) = std::mem::take(&mut values).split_at_mut(len(&task));
        values = rest;
        (task, piece)
    };
    tasks.into_iter().map(with_piece).collect()
}

/// Tokens of one sample per task of a row-wise loop.
pub(crate) const TOKENS: usize = 32;

/// Adds what the tasks of one sample found, in the order of the tasks.
pub(crate) fn add_parts<const N: usize>(parts: Vec<[Vec<f32>; N]>) -> [Vec<f32>; N] {
    let mut parts = parts.into_iter();
    let mut total = parts
        .next()
        .unwrap_or_else(|| std::array::from_fn(|_| Vec::new()));
    for part in parts {
        for (total, part) in total.iter_mut().zip(part) {
            for (sum, value) in total.iter_mut().zip(part) {
                *sum += value;
            }
        }
    }
    total
}
