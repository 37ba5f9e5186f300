"""Writes stored.npz, compressed.npz and other.npz beside itself with NumPy 2.4.6.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6
    venv/bin/python crates/formats/tests/reference/archives.py
"""

import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).parent
n, y, x, c = np.mgrid[:3, :4, :5, :3]
images = (n * 60 + y * 15 + x * 3 + c).astype(np.uint8)
labels = np.array([7, 0, 12])

np.savez(FOLDER / "stored.npz", images, labels)
np.savez_compressed(FOLDER / "compressed.npz", arr_0=images, arr_1=labels.astype(np.int32), mu=np.zeros(2))
np.savez(FOLDER / "other.npz", mu=np.zeros(2), sigma=np.zeros((2, 2)))
