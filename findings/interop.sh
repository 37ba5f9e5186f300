#!/bin/sh
# What PEFT 0.21.2 and diffusers 0.42.1 do with files of their own that one would not guess. Each is shown on a valid file that
# the library itself wrote; the script ends with an error if one of them has changed.
#
#   sh findings/interop.sh                 installs torch, diffusers and peft from PyPI into a temporary folder (some GB)
#   PYTHON=v/bin/python sh findings/interop.sh      uses a Python that has exactly these versions
#
# 1. peft 0.21.2: `alpha_pattern` and `rank_pattern` are matched in the order of the dictionary, the first match counts; but
#    adapter_config.json is written with sorted keys. With {"b": 8, "[ab]": 4} module b trains with alpha 8 and is loaded
#    again with alpha 4, without a word. With ranks the adapter cannot be loaded at all (size mismatch).
#    Seen: trained 4.0, loaded 2.0; RuntimeError.
# 2. peft 0.21.2: an adapter that began as PiSSA or OLoRA cannot be loaded with low_cpu_mem_usage=True.
#    Seen: RuntimeError "incompatible tensor type".
# 3. peft 0.21.2: an adapter with init_lora_weights="pissa_niter_4" is another one each time it is loaded: loading takes the
#    start out of the base again, and draws it at random again. The flatter the singular values, the more so.
#    Seen: of a fresh random layer (256 x 256, rank 4) the output is 0.6 away from what was saved, of 2.1, and otherwise
#    the next time. With "pissa" it is what was saved.
# 4. diffusers 0.42.1: save_pretrained in one file over a folder in shards takes the shards away and leaves their index, after
#    which from_pretrained fails. Over a whole file, shards leave the old file beside the index.
#    Seen: FileNotFoundError "required according to the checkpoint index".
# 5. diffusers 0.42.1: a model saved with safe_serialization=False in shards is not found by from_pretrained, which falls back
#    from safetensors to one .bin alone; use_safetensors=False loads it.
#    Seen: OSError "no file named diffusion_pytorch_model.bin".
# 6. diffusers 0.42.1: scheduler_config.json of a DPMSolverMultistepScheduler, a UniPCMultistepScheduler or a
#    DPMSolverSinglestepScheduler with its defaults is no JSON: it holds -Infinity, which only Python reads.
#    Seen: "lambda_min_clipped": -Infinity.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ -z "${PYTHON:-}" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install -q torch==2.15.0 diffusers==0.42.1 peft==0.21.2
    PYTHON=$folder/venv/bin/python
fi
cat > "$folder/findings.py" <<'PY'
import os
import sys
import tempfile
import warnings

import diffusers
import peft
import torch
from diffusers import DiTTransformer2DModel
from peft import LoraConfig, PeftModel, get_peft_model

warnings.filterwarnings("ignore")
assert (peft.__version__, diffusers.__version__) == ("0.21.2", "0.42.1"), (peft.__version__, diffusers.__version__)
changed = []


def finding(number, seen, still):
    print(f"{number}. {seen}")
    if not still:
        changed.append(number)


def error(what):
    try:
        what()
    except Exception as e:
        return f"{type(e).__name__}: {e}"
    return "no error"


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)

    def forward(self, x):
        return self.b(self.a(x))


torch.manual_seed(0)
state = Net().state_dict()


def fresh():
    net = Net()
    net.load_state_dict(state)
    return net


def saved(**config):
    folder = tempfile.mkdtemp()
    model = get_peft_model(fresh(), LoraConfig(r=2, lora_alpha=2, target_modules=["a", "b"], **config))
    model.save_pretrained(folder)
    return folder, model


def scale(model):
    return model.base_model.model.b.scaling["default"]


folder, model = saved(alpha_pattern={"b": 8, "[ab]": 4})
before, after = scale(model), scale(PeftModel.from_pretrained(fresh(), folder))
folder, _ = saved(rank_pattern={"b": 4, "[ab]": 2})
ranks = error(lambda: PeftModel.from_pretrained(fresh(), folder))
finding(1, f"trained with scale {before}, loaded with {after}; ranks: {ranks[:60]!r}",
        (before, after) == (4.0, 2.0) and "size mismatch" in ranks)

seen = {}
for start in ["pissa", "olora"]:
    folder, _ = saved(init_lora_weights=start)
    seen[start] = error(lambda: PeftModel.from_pretrained(fresh(), folder, low_cpu_mem_usage=True))
finding(2, seen, all("incompatible tensor type" in text for text in seen.values()))

layer = torch.nn.Sequential(torch.nn.Linear(256, 256))
x = torch.randn(4, 256)


def again(start):
    """How far two copies of a saved adapter are from it."""
    def base():
        net = torch.nn.Sequential(torch.nn.Linear(256, 256))
        net.load_state_dict(layer.state_dict())
        return net

    folder = tempfile.mkdtemp()
    model = get_peft_model(base(), LoraConfig(r=4, lora_alpha=4, target_modules=["0"], init_lora_weights=start))
    model.save_pretrained(folder)
    with torch.no_grad():
        return [(PeftModel.from_pretrained(base(), folder)(x) - model(x)).abs().max().item() for _ in range(2)]


fast, exact = again("pissa_niter_4"), again("pissa")
finding(3, f"two loads are {fast[0]:.2f} and {fast[1]:.2f} away from what was saved; of an exact start {exact[0]:.0e}",
        min(fast) > 0.1 and fast[0] != fast[1] and max(exact) < 1e-4)

dit = DiTTransformer2DModel(num_attention_heads=2, attention_head_dim=8, in_channels=3, out_channels=6, num_layers=2,
                            sample_size=8, patch_size=2, num_embeds_ada_norm=5)
folder = tempfile.mkdtemp()
dit.save_pretrained(folder, max_shard_size="20KB")
dit.save_pretrained(folder)
whole = error(lambda: DiTTransformer2DModel.from_pretrained(folder))
folder = tempfile.mkdtemp()
dit.save_pretrained(folder)
dit.save_pretrained(folder, max_shard_size="20KB")
both = "diffusion_pytorch_model.safetensors" in os.listdir(folder)
finding(4, f"{whole[:40]!r} ...; the old whole file stays: {both}", "checkpoint index" in whole and both)

folder = tempfile.mkdtemp()
dit.save_pretrained(folder, safe_serialization=False, max_shard_size="20KB")
default = error(lambda: DiTTransformer2DModel.from_pretrained(folder))
asked = error(lambda: DiTTransformer2DModel.from_pretrained(folder, use_safetensors=False))
finding(5, f"{default[:60]!r}; asked for: {asked}", "OSError" in default and asked == "no error")

from diffusers import DPMSolverMultistepScheduler

folder = tempfile.mkdtemp()
DPMSolverMultistepScheduler().save_config(folder)
text = open(f"{folder}/scheduler_config.json").read()
line = next((line.strip() for line in text.splitlines() if "Infinity" in line), "none")
finding(6, line, line.startswith('"lambda_min_clipped": -Infinity'))

sys.exit(f"changed: {changed}" if changed else 0)
PY
"$PYTHON" "$folder/findings.py" 2> "$folder/errors" || { cat "$folder/errors" >&2; exit 1; }
