"""Files as other programs save them, and what those programs make of the adapters among them, for `tests/adapters.rs` and
`cli/tests/formats.rs`.

    python3 -m venv v && v/bin/pip install torch diffusers peft      (made with torch 2.15.0, diffusers 0.42.1, peft 0.21.2)
    v/bin/python foreign.py ../fixtures/diffusers/transformer ../fixtures/foreign

Checkpoints have the names of the published DiT and random values: width 8, 2 heads, 1 block, 3 classes, 4 channels of 4x4.
Adapters are for the model of the first argument; `merged.safetensors` holds what is left of its weights when PEFT, or
diffusers, has merged each.
"""

import argparse
import collections
import json
import os
import pathlib
import shutil
import sys
import warnings

import numpy
import torch
from diffusers import (DDIMScheduler, DDPMScheduler, DiTTransformer2DModel, DPMSolverMultistepScheduler,
                       EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler)
from diffusers.loaders import PeftAdapterMixin
from diffusers.training_utils import EMAModel
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
base, out = sys.argv[1:]
WIDTH, CLASSES = 8, 3


def positions(width, side):
    def one(places):
        angles = numpy.outer(places.reshape(-1), 1 / 10000 ** (numpy.arange(width // 4) / (width / 4)))
        return numpy.concatenate([numpy.sin(angles), numpy.cos(angles)], 1)

    grid = numpy.meshgrid(numpy.arange(side, dtype=numpy.float32), numpy.arange(side, dtype=numpy.float32))
    return torch.tensor(numpy.concatenate([one(grid[0]), one(grid[1])], 1)).float()[None]


def state(seed=0, rows=CLASSES + 1):
    generator = torch.Generator().manual_seed(seed)
    found = {"pos_embed": positions(WIDTH, 2)}

    def random(name, *shape):
        found[name] = torch.randn(*shape, generator=generator) * 0.05

    def linear(name, outputs, inputs):
        random(f"{name}.weight", outputs, inputs)
        random(f"{name}.bias", outputs)

    random("x_embedder.proj.weight", WIDTH, 4, 2, 2)
    random("x_embedder.proj.bias", WIDTH)
    random("y_embedder.embedding_table.weight", rows, WIDTH)
    linear("t_embedder.mlp.0", WIDTH, 256)
    linear("t_embedder.mlp.2", WIDTH, WIDTH)
    for name, outputs, inputs in [("attn.qkv", 3, 1), ("attn.proj", 1, 1), ("mlp.fc1", 4, 1), ("mlp.fc2", 1, 4),
                                  ("adaLN_modulation.1", 6, 1)]:
        linear(f"blocks.0.{name}", outputs * WIDTH, inputs * WIDTH)
    linear("final_layer.linear", 32, WIDTH)
    linear("final_layer.adaLN_modulation.1", 2 * WIDTH, WIDTH)
    return found


def half(tensors):
    return {name: tensor.half() for name, tensor in tensors.items()}


def prefixed(prefix, tensors):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def checkpoints():
    def save(name, what):
        torch.save(what, f"{out}/{name}.pt")

    weights, average = half(state()), half(state(seed=1))
    dit = argparse.Namespace(model="DiT-S/2", num_classes=CLASSES, data_path=pathlib.Path("/data"), global_seed=0)
    sit = argparse.Namespace(model="SiT-S/2", num_classes=CLASSES, path_type="Linear", prediction="velocity")
    save_file(state(), f"{out}/f32.safetensors")
    save_file(average, f"{out}/average.safetensors")
    save("half", weights)
    save_file({n: t.bfloat16() for n, t in state().items()}, f"{out}/bf16.safetensors")
    save_file(weights, f"{out}/half.safetensors")
    save("root-tensor", {"model": weights, "ema": average, "step": torch.tensor(5), "rng": torch.get_rng_state()[:8]})
    save("training", {"model": weights, "ema": average, "args": dit, "loss": numpy.float64(0.5),
                      "seen": collections.defaultdict(int, a=1)})
    save("module", prefixed("module.", weights))
    save("orig_mod", prefixed("_orig_mod.", weights))
    save("both", {"model_state_dict": prefixed("module._orig_mod.", weights), "epoch": 3})
    save("averaged-model", {"n_averaged": torch.tensor(7), **prefixed("module.", weights)})
    save("ema-pytorch", {"initted": torch.tensor(True), "step": torch.tensor(9), **prefixed("ema_model.", average),
                         **prefixed("online_model.", weights)})
    save("lightning", {"epoch": 1, "global_step": 10, "pytorch-lightning_version": "2.5.0", "hparams_name": "kwargs",
                       "hyper_parameters": {"lr": 1e-4},
                       "state_dict": {**prefixed("model.", weights), "loss.scale": torch.ones(1)}})
    save("nested", {"ema": {"state_dict": average}, "model": {"state_dict": weights}})
    save("sit", {"model": weights, "ema": average, "args": sit})
    save("SiT-S-2", weights)
    without = half(state(rows=CLASSES))
    save("no-null-row", {"model": without, "args": dit})
    save_file(without, f"{out}/no-null-row.safetensors")
    strided = {name: t.t().contiguous().t() if t.ndim == 2 else t for name, t in weights.items()}
    assert not strided["blocks.0.attn.qkv.weight"].is_contiguous()
    save("strided", strided)
    trained = dict(state())
    trained["pos_embed"] = trained["pos_embed"] + 0.01
    save("trained-positions", half(trained))
    integers = dict(weights)
    integers["blocks.0.mlp.fc1.weight"] = torch.ones(4 * WIDTH, WIDTH, dtype=torch.int8)
    save("int8", integers)
    save("whole-model", torch.nn.Linear(2, 2))
    os.makedirs(f"{out}/accelerate", exist_ok=True)
    save_file(prefixed("_orig_mod.", weights), f"{out}/accelerate/model.safetensors")


def folders():
    """Of diffusers: the average that its training scripts save, a variant, shards, and schedulers."""
    model = DiTTransformer2DModel.from_pretrained(base)
    EMAModel(model.parameters(), decay=0.999, model_cls=DiTTransformer2DModel,
             model_config=model.config).save_pretrained(f"{out}/ema")
    config = json.load(open(f"{out}/ema/config.json"))
    shutil.rmtree(f"{out}/ema")
    json.dump(config, open(f"{out}/ema-config.json", "w"), indent=1)
    schedulers = {
        "published": DDIMScheduler(beta_start=1e-4, beta_end=0.02, clip_sample=False),
        "v-cosine": DDPMScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2"),
        "zero-snr": DDIMScheduler(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2",
                                  rescale_betas_zero_snr=True, timestep_spacing="trailing"),
        "stable-diffusion": DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        "trained-betas": DDPMScheduler(num_train_timesteps=50, trained_betas=[0.01] * 50),
        "short": DDPMScheduler(num_train_timesteps=500, beta_start=2e-4, beta_end=0.04),
        "sample": DDPMScheduler(prediction_type="sample"),
        "flow-match": FlowMatchEulerDiscreteScheduler(shift=3.0),
        "solver": DPMSolverMultistepScheduler(use_karras_sigmas=True),
        "flow-sigmas": DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction"),
        "euler": EulerDiscreteScheduler(beta_schedule="linear", prediction_type="epsilon"),
    }
    os.makedirs(f"{out}/schedulers", exist_ok=True)
    for name, scheduler in schedulers.items():
        scheduler.save_config(f"{out}/schedulers")
        os.rename(f"{out}/schedulers/scheduler_config.json", f"{out}/schedulers/{name}.json")


class WithAdapters(DiTTransformer2DModel, PeftAdapterMixin):
    pass


def adapters():
    merged = {}

    def fresh(kind=DiTTransformer2DModel):
        return kind.from_pretrained(base)

    def keep(name, model, modules):
        weights = model.state_dict()
        for module in modules:
            merged[f"{name}.{module}"] = weights[f"{module}.weight"].clone()

    def trained(**config):
        torch.manual_seed(len(merged))
        model = get_peft_model(fresh(), LoraConfig(**config))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.add_(torch.randn(parameter.shape) * 0.05)
        return model

    def modules(model):
        return [name.removeprefix("base_model.model.") for name, module in model.named_modules() if hasattr(module, "lora_A")]

    first = "transformer_blocks.0.attn1"
    plain = dict(r=4, lora_alpha=8, target_modules=["to_q", "ff.net.2"])
    refused = ["pissa", "pissa_niter_4", "olora", "dora", "lora-bias", "bias", "modules-to-save", "target-parameters"]
    cases = {
        "patterns": dict(r=4, lora_alpha=6, target_modules=["to_q", "to_v", "ff.net.2"],
                         rank_pattern={"to_v": 2, f"^{first}.to_q": 3}, alpha_pattern={"ff.net.2": 12, r"0\.attn1\.to_q": 1}),
        "rslora-patterns": dict(r=4, lora_alpha=6, target_modules=["to_q", "to_v"], use_rslora=True,
                                rank_pattern={"to_v": 2}, alpha_pattern={"to_v": 3}),
        "fan-in-fan-out": dict(fan_in_fan_out=True, **plain),
        "gaussian": dict(init_lora_weights="gaussian", **plain),
        "orthogonal": dict(init_lora_weights="orthogonal", **plain),
        "mica": dict(init_lora_weights="mica", **plain),
        "pissa": dict(init_lora_weights="pissa", **plain),
        "pissa_niter_4": dict(init_lora_weights="pissa_niter_4", **plain),
        "olora": dict(init_lora_weights="olora", **plain),
        "dora": dict(use_dora=True, **plain),
        "lora-bias": dict(lora_bias=True, **plain),
        "bias": dict(bias="lora_only", **plain),
        "modules-to-save": dict(modules_to_save=["proj_out_1"], **plain),
        "target-parameters": dict(r=4, target_modules=[], target_parameters=[f"{first}.to_q.weight"]),
        "layers": dict(r=4, lora_alpha=2, target_modules=["to_q"], layers_to_transform=[1],
                       layers_pattern="transformer_blocks"),
    }
    for name, config in cases.items():
        model = trained(**config)
        folder = f"{out}/adapters/{name}"
        model.save_pretrained(folder)
        os.path.exists(f"{folder}/README.md") and os.remove(f"{folder}/README.md")
        if name not in refused:
            keep(name, PeftModel.from_pretrained(fresh(), folder).merge_and_unload(), modules(model))

    # The start of a PiSSA is put back by PEFT itself.
    torch.manual_seed(7)
    model = get_peft_model(fresh(), LoraConfig(init_lora_weights="pissa", **plain))
    model.save_pretrained(f"{out}/start")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn(parameter.shape) * 0.05)
    model.save_pretrained(f"{out}/adapters/pissa-converted", path_initial_model_for_weight_conversion=f"{out}/start")
    shutil.rmtree(f"{out}/start")
    os.path.exists(f"{out}/adapters/pissa-converted/README.md") and os.remove(f"{out}/adapters/pissa-converted/README.md")
    names = modules(model)
    keep("pissa-converted", PeftModel.from_pretrained(fresh(), f"{out}/adapters/pissa-converted").merge_and_unload(), names)

    # Files without PEFT's folder. diffusers reads the header; kohya's scripts have alpha / rank.
    source = load_file(f"{out}/adapters/patterns/adapter_model.safetensors")
    source = {name.removeprefix("base_model.model."): tensor for name, tensor in source.items()}
    about = {key: value for key, value in cases["patterns"].items()}

    def diffusers(name, prefix, tensors, **metadata):
        path = f"{out}/adapters/{name}.safetensors"
        save_file(prefixed(f"{prefix}." if prefix else "", tensors), path, metadata={"format": "pt", **metadata})
        model = fresh(WithAdapters)
        model.load_lora_adapter(f"{out}/adapters", weight_name=f"{name}.safetensors", prefix=prefix, use_safetensors=True)
        model.fuse_lora()
        found = {n.replace(".base_layer", ""): t for n, t in model.state_dict().items()}
        for module in {key.split(".lora_")[0] for key in tensors}:
            merged[f"{name}.{module}"] = found[f"{module}.weight"].clone()

    header = {f"transformer.{key}": value for key, value in about.items()}
    diffusers("header", "transformer", source, lora_adapter_metadata=json.dumps(header, sort_keys=True))
    diffusers("header-without-prefix", None, source, lora_adapter_metadata=json.dumps(about, sort_keys=True))
    diffusers("no-alpha", "transformer", source)

    def kohya(name, alpha):
        tensors = {}
        for key, tensor in source.items():
            module, end = key.split(".lora_")
            new = "lora_unet_" + module.replace(".", "_")
            tensors[f"{new}.lora_{'down' if end[0] == 'A' else 'up'}.weight"] = tensor
            tensors[f"{new}.alpha"] = alpha
        save_file({key: tensor.clone() for key, tensor in tensors.items()}, f"{out}/adapters/{name}.safetensors",
                  metadata={"ss_network_alpha": "2"})
        torch.save(tensors, f"{out}/adapters/{name}.pt") if name == "kohya-i64" else None
        weights = fresh().state_dict()
        for module in {key.split(".lora_")[0] for key in source}:
            a, b = source[f"{module}.lora_A.weight"], source[f"{module}.lora_B.weight"]
            merged[f"{name}.{module}"] = weights[f"{module}.weight"] + alpha.float().item() / len(a) * b @ a

    kohya("kohya-i64", torch.tensor(2))
    kohya("kohya-i32", torch.tensor([2], dtype=torch.int32))
    kohya("kohya-f16", torch.tensor(2.5).half())
    kohya("kohya-bf16", torch.tensor([2.5]).bfloat16())
    both = {f"lora_unet_{first.replace('.', '_')}_to_q.lora_down.weight": torch.ones(2, 16),
            f"lora_unet_{first.replace('.', '_')}_to_q.lora_up.weight": torch.ones(16, 2),
            f"lora_unet_{first.replace('.', '_')}_to_q.dora_scale": torch.ones(16, 1)}
    save_file(both, f"{out}/adapters/lycoris-dora.safetensors")
    loha = {f"lora_unet_{first.replace('.', '_')}_to_q.hada_w1_a": torch.ones(16, 2)}
    save_file(loha, f"{out}/adapters/lycoris-loha.safetensors")
    save_file(merged, f"{out}/merged.safetensors")


os.makedirs(out, exist_ok=True)
checkpoints()
folders()
adapters()
