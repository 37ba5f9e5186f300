"""Parquet files as `datasets` writes them, and as pyarrow alone does (datasets 5.2.0, pyarrow 26.0.1, Pillow):

    python3 -m venv v && v/bin/pip install datasets pillow && v/bin/python parquet.py parquet
"""

import io
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Picture

out = sys.argv[1]


def png(i):
    picture = Picture.new("RGB", (5, 4), (20 * i, 7, 9))
    picture.putpixel((0, 0), (255, i, 0))
    kept = io.BytesIO()
    picture.save(kept, "PNG")
    return kept.getvalue()


features = Features({"id": Value("int32"), "image": Image(), "label": ClassLabel(names=["owl", "cat", "dog"])})
for split, count in [("train", 10), ("validation", 3)]:
    rows = {
        "id": list(range(count)),
        "image": [{"bytes": png(i), "path": f"{i}.png"} for i in range(count)],
        # The last row of the validation set has no class.
        "label": [-1 if split == "validation" and i == 2 else i % 3 for i in range(count)],
    }
    folder = f"{out}/set/data"
    os.makedirs(folder, exist_ok=True)
    Dataset.from_dict(rows, features=features).to_parquet(f"{folder}/{split}-00000-of-00001.parquet", batch_size=4)

# Two row groups, compressed by zstd, names of classes as a dictionary-encoded column, one image missing.
table = pa.table(
    {
        "class_name": ["b", "a", "b", "a", "b"],
        "jpg": pa.array([png(0), png(1), None, png(3), png(4)], pa.binary()),
    }
)
pq.write_table(table, f"{out}/plain.parquet", compression="zstd", row_group_size=3)
pq.write_table(pa.table({"x": [1.5], "y": [2.5]}), f"{out}/other.parquet")
