"""Random autoencoders of diffusers and what they compute, for `tests/autoencoder.rs` and `cli/tests/python.rs`.

    python3 -m venv v && v/bin/pip install torch diffusers          (made with torch 2.15.0, diffusers 0.42.1)
    v/bin/python diffusers_vae.py make FOLDER tiny|sd       a random autoencoder, and moments and images of it
    v/bin/python diffusers_vae.py again VAE FOLDER          those of another one for the same images and latents

The committed fixture is `make ../fixtures/vae tiny`.
"""

import sys

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

SIZES = {
    "tiny": dict(block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=2, sample_size=8,
                 scaling_factor=0.5, shift_factor=0.25),
    "sd": dict(block_out_channels=(128, 256, 512, 512), layers_per_block=2, sample_size=32),
}


def answer(vae, asked):
    with torch.no_grad():
        moments = vae.encode(asked["images"]).latent_dist
        found = dict(mean=moments.mean, log_variance=moments.logvar, decoded=vae.decode(asked["latents"]).sample)
    return {name: value.contiguous() for name, value in found.items()}


def make(folder, size):
    torch.manual_seed(0)
    settings = SIZES[size]
    levels = len(settings["block_out_channels"])
    vae = AutoencoderKL(down_block_types=("DownEncoderBlock2D",) * levels,
                        up_block_types=("UpDecoderBlock2D",) * levels, **settings).eval()
    # Norms start as the identity, which would hide their place.
    for name, value in vae.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(value, 1.0 if name.endswith("weight") else 0.0, 0.3)
    side = settings["sample_size"]
    small = side // 2 ** (levels - 1)
    asked = {
        "images": torch.rand(2, 3, side, side) * 2 - 1,
        "latents": torch.randn(2, vae.config.latent_channels, small, small),
    }
    vae.save_pretrained(f"{folder}/vae", max_shard_size="100MB" if size == "sd" else "1GB")
    save_file({**asked, **answer(vae, asked)}, f"{folder}/answers.safetensors")


def again(path, folder):
    asked = load_file(f"{folder}/answers.safetensors")
    found = answer(AutoencoderKL.from_pretrained(path), asked)
    save_file({**asked, **{f"again.{name}": value for name, value in found.items()}}, f"{folder}/answers.safetensors")


if __name__ == "__main__":
    {"make": make, "again": again}[sys.argv[1]](*sys.argv[2:])
