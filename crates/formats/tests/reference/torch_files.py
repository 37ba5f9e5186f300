"""Files of torch.save for `tests/torch.rs`, good and hostile, made with torch 2.15.0:

    python3 torch_files.py ../fixtures/torch
"""

import argparse
import collections
import os
import sys
import zipfile

import torch

folder = sys.argv[1]


def save(name, value, **how):
    torch.save(value, f"{folder}/{name}.pt", **how)


class Command:
    def __reduce__(self):
        return (os.system, ("touch PWNED",))


a = torch.arange(6.0).reshape(2, 3) / 8 - 0.25
b = torch.tensor([1.5, -2.0])
state = collections.OrderedDict(a=a, b=b)
state._metadata = collections.OrderedDict(version=1)
model = torch.nn.Linear(3, 2)
model.load_state_dict({"weight": a, "bias": b})
other = {"a": a + 1, "b": b + 1}
training = {"model": other, "ema": state, "opt": {"state": {0: {"step": torch.tensor(3)}}, "lr": 1e-4},
            "args": argparse.Namespace(model="DiT-S/2", cfg=1.5, data=["x", None]), "step": 2**40}
save("state", state)
save("legacy", state, _use_new_zipfile_serialization=False)
save("training", training)
save("training-legacy", training, _use_new_zipfile_serialization=False)
save("parameters", {"a": torch.nn.Parameter(a), "b": torch.nn.Parameter(b)})
save("types", {"half": b.half(), "brain": b.bfloat16(), "double": b.double(), "view": torch.cat([b, b])[2:]})

save("system", {"model": Command()})
save("system-legacy", {"model": Command()}, _use_new_zipfile_serialization=False)
save("numbers", {"a": torch.arange(3)})
save("transposed", {"a": a.t()})
save("expanded", {"a": torch.zeros(1).expand(1 << 30)})
big = torch.zeros(1000)
save("shared", {str(i): big for i in range(100)})
save("list", [a, b])
with zipfile.ZipFile(f"{folder}/state.pt") as good, zipfile.ZipFile(
    f"{folder}/compressed.pt", "w", zipfile.ZIP_DEFLATED
) as packed:
    for name in good.namelist():
        packed.writestr(name, good.read(name))
with zipfile.ZipFile(f"{folder}/bomb.pt", "w", zipfile.ZIP_DEFLATED) as packed:
    packed.writestr("archive/data.pkl", bytes(1 << 24))
