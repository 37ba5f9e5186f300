"""Makes what a Frechet inception distance is computed of, into a folder: random weights of InceptionV3 as the file that
pytorch-fid keeps, and images in `real` and `generated`.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 torchvision==0.29.2 scipy==1.17.1 pytorch-fid==0.3.0
    venv/bin/python crates/eval/tests/reference/fid.py FOLDER COUNT [SIDE]
    TORCH_HOME=FOLDER venv/bin/python -m pytorch_fid FOLDER/real FOLDER/generated --device cpu

pytorch-fid then loads the weights that it finds instead of fetching the real ones. Images are of two sizes, both other
than the network's, or squares of SIDE.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.models import inception_v3


def picture(rng, width, height, blocks, grey):
    """Blurred blocks of colour with a disc and some noise."""
    coarse = Image.fromarray(rng.integers(0, 256, (blocks, blocks, 3), dtype=np.uint8))
    rgb = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    y, x = np.mgrid[:height, :width]
    across, down, radius = rng.random(3) * [width, height, width / 2]
    rgb[(x - across) ** 2 + (y - down) ** 2 < radius**2] = rng.integers(0, 256, 3)
    rgb += rng.integers(-9, 10, rgb.shape)
    image = Image.fromarray(rgb.clip(0, 255).astype(np.uint8))
    return image.convert("L") if grey else image


def pictures(folder, count, rng, width, height, blocks):
    """Every fifth is grey."""
    folder.mkdir(parents=True)
    made = [picture(rng, width, height, blocks, i % 5 == 4) for i in range(count)]
    for i, image in enumerate(made):
        image.save(folder / f"{i:04}.png")
    return made


def weights(images):
    """Random ones, with the statistics that batch norm has of some images, so that features differ from image to image."""
    net = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False).train()
    for name, value in net.named_parameters():
        if name.endswith("bn.weight"):
            value.data.uniform_(0.5, 1.5)
        elif value.dim() == 1:
            value.data.normal_(0, 0.3)
        else:
            # Keeps the size of values through ReLUs (He et al. 2015).
            value.data.normal_(0, (2 / value[0].numel()) ** 0.5)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    pixels = [np.asarray(image.convert("RGB").resize((299, 299))) for image in images]
    with torch.no_grad():
        net(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 127.5 - 1)
    return net.state_dict()


def main(folder, count, side=None):
    folder = Path(folder)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    # One set is enlarged to the network's 299 pixels, the other made smaller.
    small, large = ((side, side), (side, side)) if side else ((48, 40), (330, 310))
    real = pictures(folder / "real", count, rng, *small, 6)
    generated = pictures(folder / "generated", count, rng, *large, 9)
    file = folder / "hub/checkpoints/pt_inception-2015-12-05-6726825d.pth"
    file.parent.mkdir(parents=True)
    torch.save(weights(real[:4] + generated[:4]), file)


main(sys.argv[1], *map(int, sys.argv[2:]))
