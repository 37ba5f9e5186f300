#!/usr/bin/env bash
# Hugging Face's datasets 5.2.0 finds splits in the names of data files. Two things follow that one would not guess:
#   train-0.tar beside other.tar   other.tar is in no split: its samples are gone without a word
#   a-train-test.tar               is in train and in test, whole, both times
# Exits 1 if that has changed.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet install datasets==5.2.0 pillow==13.0.0
export HF_HUB_OFFLINE=1 HF_HOME="$work/cache"
"$work/venv/bin/python" - "$work" <<'PYTHON'
import io, os, sys, tarfile
import datasets
from PIL import Image

datasets.disable_progress_bars()
root = sys.argv[1]


def keys(*names):
    folder = f"{root}/{'+'.join(names)}"
    os.makedirs(folder)
    for name in names:
        picture = io.BytesIO()
        Image.new("RGB", (4, 4)).save(picture, "PNG")
        with tarfile.open(f"{folder}/{name}", "w") as tar:
            for member, data in [(f"of {name}.png", picture.getvalue()), (f"of {name}.cls", b"0")]:
                info = tarfile.TarInfo(member.replace(".tar", ""))
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    loaded = datasets.load_dataset("webdataset", data_dir=folder)
    return {split: part["__key__"] for split, part in loaded.items()}


alone, twice = keys("train-0.tar", "other.tar"), keys("a-train-test.tar")
alone, twice = ({split: list(part) for split, part in found.items()} for found in (alone, twice))
print("datasets", datasets.__version__, alone, twice)
sys.exit(alone != {"train": ["of train-0"]} or twice != {"train": ["of a-train-test"], "test": ["of a-train-test"]})
PYTHON
