"""A diffusion transformer with adaLN-Zero (Peebles & Xie, arXiv 2212.09748), as plain PyTorch.

Two kinds of projections: `nn.Linear`, and for KIND the way one would write it without kernels of one's own: all
components stored side by side, and a mask of zeros and ones on sigma that leaves each sample its class's.
Shapes: b samples, t tokens, d hidden, h heads, r stored components.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

TIME_FEATURES = 256


@dataclass(frozen=True)
class Shape:
    image: tuple[int, int, int]
    patch: int
    hidden: int
    depth: int
    heads: int
    classes: int
    adaln: str  # "shared" or "per-block"
    attention: str  # "sdpa" or "bmm"
    rank_split: tuple[int, int] | None = None  # (N_G, N_T); dense without
    mlp_ratio: int = 4

    @property
    def tokens(self):
        return (self.image[1] // self.patch) * (self.image[2] // self.patch)


class Masked(nn.Module):
    """y = U diag(sigma * mask) V^T x + b with the full stored rank r = N_G + classes * N_T."""

    def __init__(self, inputs, outputs, shape):
        super().__init__()
        learngene, tailor = shape.rank_split
        rank = learngene + shape.classes * tailor
        self.v = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))
        self.s = nn.Parameter(torch.full((rank,), math.sqrt(outputs / (learngene + tailor))))
        self.u = nn.Parameter(torch.randn(outputs, rank) / math.sqrt(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x_btd, mask_b1r):
        inner = F.linear(x_btd, self.v) * (self.s * mask_b1r)
        return F.linear(inner, self.u, self.bias)


class Dense(nn.Linear):
    """`nn.Linear` that takes a mask and needs none."""

    def forward(self, x_btd, _):
        return super().forward(x_btd)


def projection(inputs, outputs, shape):
    return Masked(inputs, outputs, shape) if shape.rank_split else Dense(inputs, outputs)


class Attention(nn.Module):
    def __init__(self, shape):
        super().__init__()
        d = shape.hidden
        self.heads, self.how = shape.heads, shape.attention
        if shape.rank_split:
            self.q, self.k, self.v = (Masked(d, d, shape) for _ in range(3))
        else:
            self.qkv = nn.Linear(d, 3 * d)
        self.o = projection(d, d, shape)

    def forward(self, x, mask):
        b, t, d = x.shape
        if hasattr(self, "qkv"):
            q, k, v = self.qkv(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        else:
            parts = (p(x, mask) for p in (self.q, self.k, self.v))
            q, k, v = (p.view(b, t, self.heads, d // self.heads).transpose(1, 2) for p in parts)
        if self.how == "sdpa":
            mixed = F.scaled_dot_product_attention(q, k, v)
        else:
            weights = (q * (d // self.heads) ** -0.5) @ k.transpose(-2, -1)
            mixed = weights.softmax(-1) @ v
        return self.o(mixed.transpose(1, 2).reshape(b, t, d), mask)


class Mlp(nn.Module):
    def __init__(self, shape):
        super().__init__()
        d, hidden = shape.hidden, shape.mlp_ratio * shape.hidden
        self.input = projection(d, hidden, shape)
        self.output = projection(hidden, d, shape)

    def forward(self, x, mask):
        return self.output(F.gelu(self.input(x, mask), approximate="tanh"), mask)


class Modulation(nn.Module):
    """Shift, scale and gate of a block: its own matrix, or a table added to the shared matrix's output."""

    def __init__(self, shape):
        super().__init__()
        if shape.adaln == "shared":
            self.table = nn.Parameter(torch.zeros(6 * shape.hidden))
        else:
            self.linear = zeros(shape.hidden, 6 * shape.hidden)

    def forward(self, condition, shared):
        six = self.linear(condition) if shared is None else shared + self.table
        return six.unsqueeze(1).chunk(6, dim=2)


def zeros(inputs, outputs):
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def modulate(x, shift, scale):
    return F.layer_norm(x, (x.shape[-1],), eps=1e-6) * (1 + scale) + shift


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.modulation = Modulation(shape)
        self.attention = Attention(shape)
        self.mlp = Mlp(shape)

    def forward(self, x, condition, shared, mask):
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(condition, shared)
        x = x + gate_a * self.attention(modulate(x, shift_a, scale_a), mask)
        return x + gate_m * self.mlp(modulate(x, shift_m, scale_m), mask)


class Time(nn.Module):
    """Sinusoids of the diffusion time, then two layers."""

    def __init__(self, hidden):
        super().__init__()
        self.input = nn.Linear(TIME_FEATURES, hidden)
        self.output = nn.Linear(hidden, hidden)
        half = TIME_FEATURES // 2
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float64) / half)
        self.register_buffer("frequencies", frequencies.float(), persistent=False)

    def forward(self, times):
        angles = times[:, None].float() * self.frequencies
        return self.output(F.silu(self.input(torch.cat([angles.cos(), angles.sin()], dim=1))))


class Label(nn.Module):
    """A row per class, and the last for "no class"."""

    def __init__(self, classes, hidden):
        super().__init__()
        self.table = nn.Parameter(0.02 * torch.randn(classes + 1, hidden))

    def forward(self, labels):
        return F.embedding(labels, self.table)


def positions(shape):
    """[1, t, d]: half of the width codes the column, half the row, as sines then cosines."""
    rows, columns = (side // shape.patch for side in shape.image[1:])
    quarter = shape.hidden // 4
    frequencies = 10_000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)

    def axis(places):
        angles = places[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    row = torch.arange(rows, dtype=torch.float64).repeat_interleave(columns)
    column = torch.arange(columns, dtype=torch.float64).repeat(rows)
    return torch.cat([axis(column), axis(row)], dim=1).float()[None]


class Dit(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        (c, _, _), p, d = shape.image, shape.patch, shape.hidden
        self.patches = nn.Linear(c * p * p, d)
        self.time = Time(d)
        self.label = Label(shape.classes, d)
        self.modulation = zeros(d, 6 * d) if shape.adaln == "shared" else None
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.final_modulation = zeros(d, 2 * d)
        self.output = zeros(d, p * p * c)
        self.register_buffer("positions", positions(shape), persistent=False)

    def forward(self, images, times, labels):
        """Images [b, c, h, w], times [b], labels [b] (`classes` is the null label); the prediction, like the images."""
        b, c, height, width = images.shape
        p, d = self.shape.patch, self.shape.hidden
        rows, columns = height // p, width // p
        condition = F.silu(self.time(times) + self.label(labels))
        shared = None if self.modulation is None else self.modulation(condition)
        mask = self.mask(labels) if self.shape.rank_split else None
        patches = images.view(b, c, rows, p, columns, p).permute(0, 2, 4, 1, 3, 5)
        x = self.patches(patches.reshape(b, rows * columns, c * p * p)) + self.positions
        for block in self.blocks:
            x = block(x, condition, shared, mask)
        shift, scale = self.final_modulation(condition).unsqueeze(1).chunk(2, dim=2)
        out = self.output(modulate(x, shift, scale)).view(b, rows, columns, p, p, c)
        return out.permute(0, 5, 1, 3, 2, 4).reshape(b, c, height, width)

    def mask(self, labels):
        """[b, 1, r]: one for the learngene and for the tailor of the sample's class."""
        learngene, tailor = self.shape.rank_split
        own = F.one_hot(labels, self.shape.classes + 1)[:, :-1].repeat_interleave(tailor, dim=1)
        return torch.cat([own.new_ones(len(labels), learngene), own], dim=1).float()[:, None]

    def by_name(self, read):
        """`read(parameter)` under the names that the Rust program stores; views, so that they can be written to."""
        found = {}
        for name, parameter in self.named_parameters():
            value = read(parameter)
            before, _, last = name.rpartition(".")
            if ".qkv." in name:
                for part, rows in zip("qkv", value.chunk(3)):
                    found[name.replace(".qkv.", f".{part}.")] = rows
            elif self.shape.rank_split and last in ("u", "s", "v"):
                rows = value.t() if last == "u" else value
                learngene = self.shape.rank_split[0]
                found[f"{before}.learngene.{last}"] = rows[:learngene]
                found[f"{before}.tailors.{last}"] = rows[learngene:]
            else:
                found[name] = value
        return found
