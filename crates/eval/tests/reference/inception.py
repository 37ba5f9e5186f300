"""Writes inception.json: features that pytorch-fid's InceptionV3 has of two images, with weights made by a formula, and the shapes of
its filters.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 torchvision==0.29.2 numpy pytorch-fid==0.3.0
    venv/bin/python crates/eval/tests/reference/inception.py > crates/eval/tests/reference/inception.json

The real weights are a file of 95 MB that neither program comes with.
"""

import json

import numpy as np
import torch
from pytorch_fid import inception as fid


def fnv(name):
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) % 2**32
    return h


def uniform(name, count):
    """Hashed positions in [0, 1), multiples of 2^-16."""
    h = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(fnv(name))
    h = (h ^ (h >> 15)) * np.uint32(2246822519)
    h = (h ^ (h >> 13)) * np.uint32(3266489917)
    return ((h ^ (h >> 16)) >> 16).astype(np.float32) / np.float32(65536)


def made(name, value):
    if name.endswith("num_batches_tracked"):
        return value
    u = uniform(name, value.numel())
    if name.endswith(("bn.weight", "running_var")):
        u = u + np.float32(0.5)
    elif value.dim() == 1:
        u = (u - np.float32(0.5)) * np.float32(0.25)
    else:
        # Variance 2 / inputs keeps the size of values through ReLUs (He et al. 2015).
        u = (u - np.float32(0.5)) * np.float32((24 / value[0].numel()) ** 0.5)
    return torch.from_numpy(u).reshape(value.shape)


def picture(width, height):
    """Colour ramps with a disc: integer arithmetic only."""
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([x * 5 % 256, y * 6 % 256, x * y // 4 % 256], axis=-1)
    rgb[(x - 15) ** 2 + (y - 20) ** 2 < 100] = (250, 200, 30)
    return torch.from_numpy(rgb.astype(np.uint8)).permute(2, 0, 1).float().div(255).unsqueeze(0)


def network():
    """pytorch-fid's model; its weights are not fetched but made."""
    names = {}
    fid.load_state_dict_from_url = lambda *_, **__: names
    loading = torch.nn.Module.load_state_dict
    torch.nn.Module.load_state_dict = lambda model, weights: loading(model, {k: made(k, v) for k, v in model.state_dict().items()})
    model = fid.InceptionV3([3]).eval()
    inner = fid.fid_inception_v3().eval()
    torch.nn.Module.load_state_dict = loading
    return model, inner


def main():
    model, inner = network()
    spatial = []
    # The blocks of `model` in their order; the seventh of the third is Mixed_6d.
    model.blocks[2][6].branch1x1.register_forward_hook(lambda module, inputs, output: spatial.append(output))
    filters = {k.removesuffix(".conv.weight"): list(v.shape) for k, v in inner.state_dict().items() if v.dim() == 4}
    out = {"filters": filters, "pooled": [], "spatial": [], "logits": []}
    with torch.no_grad():
        for size in ((40, 48), (350, 330)):
            pooled = model(picture(*size))[0][0, :, 0, 0]
            positions = spatial.pop()[0, :7].permute(1, 2, 0).reshape(-1)
            logits = inner.fc.weight @ pooled
            for name, values, step in (("pooled", pooled, 16), ("spatial", positions, 16), ("logits", logits, 8)):
                out[name].append([float(f"{v:.7g}") for v in values[::step]])
    print(json.dumps(out).replace("], ", "],\n"))


main()
