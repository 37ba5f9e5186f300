"""Prints what torch-fidelity finds for the images and weights that fid.py has made with a side of 299.

    venv/bin/pip install torch-fidelity==0.4.0
    venv/bin/python crates/eval/tests/reference/fid.py FOLDER COUNT 299
    venv/bin/python crates/eval/tests/reference/fidelity.py FOLDER COUNT

Two things differ from pytorch-fid. torch-fidelity resizes as TensorFlow 1 does, so images have the network's own size here.
And it takes a pixel as (x - 128) / 128, where pytorch-fid takes (x - 127.5) / 127.5; on these images alone that changes
FID by 2.7 %. The first convolution, which has no padding, makes up for it: with its weights times 128 / 127.5, and what
the shift adds taken from the mean of its batch norm, both compute the same function of pixels.
"""

import json
import sys
from pathlib import Path

import torch
import torch_fidelity


def weights(folder):
    """For pixels as torch-fidelity takes them."""
    found = torch.load(folder / "hub/checkpoints/pt_inception-2015-12-05-6726825d.pth")
    first = "Conv2d_1a_3x3."
    kernel = found[first + "conv.weight"]
    found[first + "bn.running_mean"] -= kernel.sum((1, 2, 3)) * 0.5 / 127.5
    found[first + "conv.weight"] = kernel * 128 / 127.5
    path = folder / "fidelity.pth"
    torch.save(found, path)
    return str(path)


def main(folder, count):
    folder = Path(folder)
    found = torch_fidelity.calculate_metrics(
        input1=str(folder / "generated"),
        input2=str(folder / "real"),
        feature_extractor_weights_path=weights(folder),
        batch_size=8,
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
        fid=True,
        kid=True,
        isc=True,
        # All images at once: what it finds is then no matter of chance.
        kid_subsets=1,
        kid_subset_size=count,
        isc_splits=1,
        samples_shuffle=False,
    )
    print(json.dumps(found))


main(sys.argv[1], int(sys.argv[2]))
