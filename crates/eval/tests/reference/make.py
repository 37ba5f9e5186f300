"""Writes lite0.json: what PyTorch and Pillow say about one synthetic image.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 pillow==13.0.0 safetensors==0.8.0 numpy
    venv/bin/python crates/eval/tests/reference/make.py > crates/eval/tests/reference/lite0.json

The network is built from torch.nn.functional alone, the padding is written out with F.pad, and the
resizing is Pillow's on float planes (its 8-bit path would round between the two passes).
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[4]
W = {k: v.float() for k, v in load_file(ROOT / "assets/lite0/efficientnet-lite0-f16.safetensors").items()}
# blocks, kernel, stride, expansion, channels
STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]


def synthetic(width=40, height=48):
    """Colour ramps with a disc: integer arithmetic only, so that Rust makes the same bytes."""
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([x * 5 % 256, y * 6 % 256, x * y // 4 % 256], axis=-1)
    rgb[(x - 15) ** 2 + (y - 20) ** 2 < 100] = (250, 200, 30)
    return rgb.astype(np.uint8)


def planes(rgb, size):
    """Bicubic resizing to [3, size, size], clipped to what a picture can hold."""
    channels = [Image.fromarray(rgb[..., c].astype(np.float32), mode="F") for c in range(3)]
    resized = [np.asarray(c.resize((size, size), Image.BICUBIC)) for c in channels]
    return np.clip(np.stack(resized), 0, 255)


def conv(x, name, stride=1, groups=1):
    weight = W[name + ".weight"]
    kernel = weight.shape[-1]
    pad = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pad += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pad), weight, W[name + ".bias"], stride=stride, groups=groups)


def features(x):
    x = F.relu6(conv(x, "stem", stride=2))
    index = 0
    for blocks, _, stride, expansion, channels in STAGES:
        for block in range(blocks):
            name, skip, step = f"blocks.{index}", x, stride if block == 0 else 1
            if expansion != 1:
                x = F.relu6(conv(x, name + ".expand"))
            x = F.relu6(conv(x, name + ".depthwise", stride=step, groups=x.shape[1]))
            x = conv(x, name + ".project")
            if step == 1 and skip.shape[1] == channels:
                x = x + skip
            index += 1
    return F.relu6(conv(x, "head")).mean(dim=(2, 3))


def rounded(array):
    return [float(f"{v:.6g}") for v in np.asarray(array).ravel()]


def main():
    rgb, out = synthetic(), {"features": {}, "logits": {}, "resized": {}}
    with torch.no_grad():
        for size in (224, 97):
            x = torch.from_numpy(planes(rgb, size) / 127.5 - 1).unsqueeze(0)
            f = features(x)
            out["features"][size] = rounded(f)
            out["logits"][size] = rounded(F.linear(f, W["classifier.weight"], W["classifier.bias"]))[:20]
    for size in (32, 64):
        out["resized"][size] = rounded(planes(rgb, size)[:, ::3, ::3])
    print(json.dumps(out).replace("], ", "],\n"))


main()
