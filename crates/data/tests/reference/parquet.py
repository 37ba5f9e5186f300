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

# What writers other than `datasets` do, and what is refused: six images, each in a file of its own kind.
images = pa.array([png(i) for i in range(6)], pa.binary())
numbers = pa.array([0, 1] * 3)
names = pa.array(["b", "a"] * 3)
os.makedirs(f"{out}/kinds", exist_ok=True)


def kind(name, columns, **options):
    pq.write_table(pa.table(columns), f"{out}/kinds/{name}.parquet", **options)


kind("snappy", {"img": images, "cls": numbers}, compression="snappy", row_group_size=2)
kind("pages_v2", {"image": images, "label": names}, compression="zstd", data_page_version="2.0", row_group_size=4)
kind("large", {"image": images.cast(pa.large_binary()), "label": names.dictionary_encode()}, write_page_index=True)
table = pa.table({"image": images, "label": numbers})
with pq.ParquetWriter(f"{out}/kinds/empty_group.parquet", table.schema) as writer:
    for rows in [table.slice(0, 2), table.slice(0, 0), table.slice(2)]:
        writer.write_table(rows)
kind("gzip", {"image": images, "label": numbers}, compression="gzip")
kind("front_coded", {"image": images, "label": names}, use_dictionary=False, column_encoding={"label": "DELTA_BYTE_ARRAY"})
kind("other_label", {"image": images, "label": numbers.cast(pa.float32()), "id": numbers})
kind("nested", {"image": images, "label": pa.array([[1]] * 6)})
kind("captions", {"image": images, "text": names})
kind("paths", {"image": pa.array(["a.png"] * 6), "label": numbers})
kind("two", {"a": images, "b": images, "label": numbers})

# Pictures that are to be turned or that `datasets` writes as TIFF, and a row that has only a path.
photo = Picture.new("RGB", (16, 8), (220, 30, 30))
exif = Picture.Exif()
exif[0x112] = 6
kept = io.BytesIO()
photo.save(kept, "JPEG", quality=95, exif=exif)
palette = Picture.new("P", (2, 3), 1)
palette.putpalette([0, 0, 0, 10, 200, 30])
rows = {
    "image": [{"bytes": kept.getvalue(), "path": None}, palette, {"bytes": None, "path": "photos/3.jpg"}],
    "label": [0, 1, 1],
}
features = Features({"image": Image(), "label": ClassLabel(names=["upright", "green"])})
# By pyarrow, since `to_parquet` would look for the file of the path.
table = Dataset.from_dict(rows, features=features).with_format("arrow")[:]
table = table.replace_schema_metadata(features.arrow_schema.metadata)
pq.write_table(table, f"{out}/kinds/pictures.parquet")
