"""Prints the reference numbers of `tests/pytorch.rs`: python3 tests/pytorch.py (torch 2.x, double precision)."""

import torch


def wave(n, step, scale):
    return (torch.arange(n, dtype=torch.float64) * step).sin() * scale


def show(name, tensor):
    print(f"const {name}: [f64; {tensor.numel()}] = [")
    print("    " + ", ".join(f"{x:.9e}" for x in tensor.flatten().tolist()) + ",\n];")


x = wave(12, 0.9, 4.0).requires_grad_()
y = torch.nn.functional.gelu(x, approximate="tanh")
(y * wave(12, 0.5, 1.0)).sum().backward()
show("GELU", y.detach())
show("GELU_GRAD", x.grad)

b, t, d, heads = 2, 3, 8, 2
q, k, v = (wave(b * t * d, step, 2.0).requires_grad_() for step in (0.7, 1.1, 0.3))
split = lambda x: x.reshape(b, t, heads, d // heads).transpose(1, 2)
y = torch.nn.functional.scaled_dot_product_attention(split(q), split(k), split(v))
y = y.transpose(1, 2).reshape(-1)
(y * wave(b * t * d, 0.5, 1.0)).sum().backward()
show("ATTENTION", y.detach())
for name, x in (("Q", q), ("K", k), ("V", v)):
    show(f"ATTENTION_GRAD_{name}", x.grad)

b, t, d = 2, 3, 5
x, shift, scale = wave(b * t * d, 0.7, 3.0), wave(b * d, 1.1, 1.0), wave(b * d, 0.3, 1.0)
x, shift, scale = (z.requires_grad_() for z in (x, shift, scale))
normal = torch.nn.functional.layer_norm(x.reshape(b, t, d), (d,), eps=1e-6)
y = normal * (1 + scale.reshape(b, 1, d)) + shift.reshape(b, 1, d)
(y.reshape(-1) * wave(b * t * d, 0.5, 1.0)).sum().backward()
show("NORM", y.detach())
for name, z in (("X", x), ("SHIFT", shift), ("SCALE", scale)):
    show(f"NORM_GRAD_{name}", z.grad)
