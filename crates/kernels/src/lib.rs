//! Fused operators as a Burn backend extension, each with a composition of plain operators beside it.
//!
//! * In: tensors of 32-bit floats on any device, tracked by automatic differentiation or not.
//! * Out: tensors on the same device. On the CPU (`Flex`) one pass over memory, vectorised and on all threads, with a
//!   hand-written backward pass; on every other device, and for other element types, the composition in [`mod@reference`].
//!   The update of a parameter ([`AdamW`]) works on slices in host memory.
//! * Must not know: models, configurations, schedules. This is the only crate that names a concrete backend.
//!
//! Shapes carry suffixes: `b` samples, `t` tokens, `d` features.
//!
//! Results on the CPU do not depend on the number of threads: work is cut into pieces of fixed size, a row is reduced
//! within one piece, and sums over pieces are added in the order of the pieces. They do not depend on the instruction set
//! either (sums have a fixed number of lanes, and nothing is contracted into a fused multiply-add), except for
//! matrix products.

mod activation;
mod adamw;
mod attention;
mod block;
mod buffer;
mod flex;
mod gemm;
mod layer_norm;
mod linear;
mod matmul;
mod operator;
mod plan;
mod projection;
pub mod reference;
mod residual;
mod sampler_step;
mod simd;
mod squared_error;
mod tally;

pub use activation::{gelu_tanh, silu};
pub use adamw::{AdamW, Parameter, Step, average, sums_of_squares, update};
pub use attention::attention;
pub use block::{BlockSettings, BlockWeights, Mode, transformer_block};
pub use flex::is_cpu;
pub use gemm::Precision;
pub use layer_norm::modulated_layer_norm;
pub use plan::GatePlan;
pub use projection::{Base, Factors, Projection, dense_projection, projection};
pub use residual::gated_residual;
pub use sampler_step::{SamplerStep, sampler_step, sampler_step_and_clean};
pub use squared_error::mean_squared_error;
pub use tally::counting_macs;
