"""Random models of diffusers and what they compute, for `tests/foreign.rs` and `cli/tests/python.rs`.

    python3 -m venv v && v/bin/pip install torch diffusers peft       (made with torch 2.15.0, diffusers 0.42.1, peft 0.21.2)
    v/bin/python diffusers_dit.py make FOLDER tiny|s      a random model and its answers
    v/bin/python diffusers_dit.py adapters MODEL FOLDER   random LoRA on it and their answers
    v/bin/python diffusers_dit.py again MODEL FOLDER      the answers of another model to the same questions

    v/bin/python diffusers_dit.py dit MODEL FOLDER        a .pt with DiT's names, and its answers

The committed fixture is `make ../fixtures/diffusers tiny`, then `adapters ../fixtures/diffusers/transformer
../fixtures/diffusers` and `dit` with the same.
"""

import sys

import torch
from diffusers import DiTTransformer2DModel
from safetensors.torch import load_file, save_file

SIZES = {
    "tiny": dict(num_attention_heads=2, attention_head_dim=8, in_channels=3, out_channels=6, num_layers=2,
                 sample_size=8, patch_size=2, num_embeds_ada_norm=5),
    "s": dict(num_attention_heads=6, attention_head_dim=64, in_channels=4, out_channels=8, num_layers=12,
              sample_size=32, patch_size=2, num_embeds_ada_norm=1000),
}


def answer(model, asked):
    with torch.no_grad():
        return model(asked["x"], timestep=asked["t"].long(), class_labels=asked["y"].long()).sample


def make(folder, size):
    torch.manual_seed(0)
    model = DiTTransformer2DModel(**SIZES[size]).eval()
    # DiT has one embedding of time and label; in a converted checkpoint all blocks have copies of it.
    for block in model.transformer_blocks:
        block.norm1.emb.load_state_dict(model.transformer_blocks[0].norm1.emb.state_dict())
    config = model.config
    side = config.sample_size
    asked = {
        "x": torch.randn(3, config.in_channels, side, side),
        "t": torch.tensor([0.0, 321.0, 999.0]),
        # Two classes and "no class".
        "y": torch.tensor([1.0, config.num_embeds_ada_norm - 1.0, config.num_embeds_ada_norm]),
    }
    model.save_pretrained(f"{folder}/transformer", max_shard_size="40MB" if size == "s" else "1GB")
    save_file({**asked, "out": answer(model, asked)}, f"{folder}/answers.safetensors")


def adapters(path, folder):
    from peft import LoraConfig, PeftModel, get_peft_model

    asked = load_file(f"{folder}/answers.safetensors")
    modules = ["attn1.to_q", "to_out.0", "ff.net.0.proj", "ff.net.2"]
    for i, rank in enumerate([2, 3]):
        torch.manual_seed(i + 1)
        model = DiTTransformer2DModel.from_pretrained(path)
        config = LoraConfig(r=rank, lora_alpha=5, target_modules=modules, init_lora_weights=False, use_rslora=i == 1)
        adapted = get_peft_model(model, config).eval()
        adapted.save_pretrained(f"{folder}/lora-{i}")
        again = PeftModel.from_pretrained(DiTTransformer2DModel.from_pretrained(path), f"{folder}/lora-{i}").eval()
        asked[f"lora-{i}"] = answer(again, asked)
    save_file(asked, f"{folder}/answers.safetensors")


def dit(path, folder):
    """The same weights under the names of the published checkpoints, and with DiT's code of times and epsilon."""
    model = DiTTransformer2DModel.from_pretrained(path, norm_eps=1e-6)
    for block in model.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    asked = load_file(f"{folder}/answers.safetensors")
    asked["dit"] = answer(model, asked)
    save_file(asked, f"{folder}/answers.safetensors")

    theirs, ours = model.state_dict(), {"pos_embed": model.pos_embed.pos_embed}

    def move(name, *olds):
        for part in ["weight", "bias"]:
            ours[f"{name}.{part}"] = torch.cat([theirs[f"{old}.{part}"] for old in olds])

    move("x_embedder.proj", "pos_embed.proj")
    move("t_embedder.mlp.0", "transformer_blocks.0.norm1.emb.timestep_embedder.linear_1")
    move("t_embedder.mlp.2", "transformer_blocks.0.norm1.emb.timestep_embedder.linear_2")
    table = "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight"
    ours["y_embedder.embedding_table.weight"] = theirs[table]
    move("final_layer.adaLN_modulation.1", "proj_out_1")
    move("final_layer.linear", "proj_out_2")
    for i in range(model.config.num_layers):
        old = f"transformer_blocks.{i}"
        move(f"blocks.{i}.attn.qkv", *[f"{old}.attn1.to_{x}" for x in "qkv"])
        move(f"blocks.{i}.attn.proj", f"{old}.attn1.to_out.0")
        move(f"blocks.{i}.mlp.fc1", f"{old}.ff.net.0.proj")
        move(f"blocks.{i}.mlp.fc2", f"{old}.ff.net.2")
        move(f"blocks.{i}.adaLN_modulation.1", f"{old}.norm1.linear")
    torch.save(ours, f"{folder}/dit.pt")


def again(path, folder):
    asked = load_file(f"{folder}/answers.safetensors")
    asked["again"] = answer(DiTTransformer2DModel.from_pretrained(path), asked)
    save_file(asked, f"{folder}/answers.safetensors")


if __name__ == "__main__":
    {"make": make, "adapters": adapters, "again": again, "dit": dit}[sys.argv[1]](*sys.argv[2:])
