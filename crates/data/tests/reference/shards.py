"""Two shards as the webdataset package writes them (webdataset 1.0.2, Pillow 13.0.0):

    python3 -m venv v && v/bin/pip install webdataset pillow && v/bin/python shards.py shards
"""

import sys

import numpy as np
import webdataset

with webdataset.ShardWriter(sys.argv[1] + "/tiny-%06d.tar", maxcount=4, mtime=0) as shards:
    for i in range(6):
        image = np.full((4, 5, 3), 40 * i, np.uint8)
        image[0, 0] = [255, i, 0]
        shards.write({"__key__": f"photos/{i:04d}", "png": image, "cls": 7 if i % 2 else 11, "json": {"label": "unused"}})
