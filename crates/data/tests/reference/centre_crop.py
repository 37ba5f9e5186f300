"""Writes centre_crop.json: the ADM centre crop done by Pillow on images made from a formula.

    pip install pillow==11.3.0 && python centre_crop.py > centre_crop.json

Pillow up to 12 always resamples rows before columns; 13 takes columns first for some tall images, which moves a third of
the bytes by one. Published image statistics were made with the former.
"""

import json

from PIL import Image

CASES = [(97, 61, 8), (40, 200, 8), (5, 3, 8), (32, 32, 8), (131, 130, 8), (9, 8, 8), (8, 17, 8), (15, 31, 8)]


def formula(width, height):
    values = [(x * x * 7 + y * 13 + c * 91 + x * y * 3) % 256 for y in range(height) for x in range(width) for c in range(3)]
    return Image.frombytes("RGB", (width, height), bytes(values))


def centre_crop(image, size):
    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


lines = [
    json.dumps({"width": w, "height": h, "size": s, "pixels": list(centre_crop(formula(w, h), s).tobytes())}, separators=(",", ":"))
    for w, h, s in CASES
]
print("[\n" + ",\n".join(lines) + "\n]")
