#!/usr/bin/env bash
# Hugging Face's datasets 5.2.0, load_dataset("imagefolder"): what the label of an image is depends on how deep all the others lie.
#
# Seen, each with two class folders a and b:
#   all images directly below a and b               labels a, b
#   all images one folder further down (a/2022/0)   labels 2022, 2023: the deepest folder, not the class folder
#   one of three images one folder further down     no label column at all, and no warning
#   a single class folder                           no label column at all, and no warning
# torchvision's ImageFolder takes the class folder in all four. Exits 1 if datasets does otherwise than it did.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet install datasets==5.2.0 pillow==13.0.0
export HF_HUB_OFFLINE=1 HF_HOME="$work/cache"
"$work/venv/bin/python" - "$work" <<'PYTHON'
import os, sys
import datasets
from PIL import Image

datasets.disable_progress_bars()
root = sys.argv[1]


def labels(name, files):
    for file in files:
        path = f"{root}/{name}/{file}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    feature = datasets.load_dataset("imagefolder", data_dir=f"{root}/{name}")["train"].features.get("label")
    return feature and feature.names


seen = {
    "all at one depth": labels("flat", ["a/0.png", "b/1.png"]),
    "all one deeper": labels("deeper", ["a/2022/0.png", "a/2023/1.png", "b/2022/2.png"]),
    "one of them deeper": labels("mixed", ["a/0.png", "a/2023/1.png", "b/2.png"]),
    "one class": labels("one", ["a/0.png", "a/1.png"]),
}
print("datasets", datasets.__version__, seen)
expected = {
    "all at one depth": ["a", "b"], "all one deeper": ["2022", "2023"], "one of them deeper": None, "one class": None,
}
sys.exit(seen != expected)
PYTHON
