use burn::tensor::{Tensor, activation};

pub fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let z = (x.clone().square() * 0.044715 + 1.0) * x.clone() * 1.595_769_121_605_731;
    x * activation::sigmoid(z)
}
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::silu(x)
}
pub fn modulated_layer_norm(x: Tensor<3>, shift: Tensor<2>, scale: Tensor<2>, eps: f64) -> Tensor<3> {
    let c = x.clone() - x.mean_dim(2);
    let var = c.clone().square().mean_dim(2);
    let n = c / (var + eps).sqrt();
    n * (scale.unsqueeze_dim::<3>(1) + 1.0) + shift.unsqueeze_dim::<3>(1)
}
pub fn gated_residual(x: Tensor<3>, y: Tensor<3>, gate: Tensor<2>) -> Tensor<3> {
    x + y * gate.unsqueeze_dim::<3>(1)
}
pub fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: usize) -> Tensor<3> {
    let [b, t, d] = q.dims();
    let split = |x: Tensor<3>| x.reshape([b, t, heads, d / heads]).swap_dims(1, 2);
    let scale = 1.0 / ((d / heads) as f64).sqrt();
    let p = activation::softmax(split(q * scale).matmul(split(k).swap_dims(2, 3)), 3);
    p.matmul(split(v)).swap_dims(1, 2).reshape([b, t, d])
}
