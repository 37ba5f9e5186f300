"""Writes pictures.json: small pictures of all formats and kinds, as hexadecimal numbers, and the pixels that Hugging Face's
`datasets` makes of them (it decodes with Pillow and obeys Exif), laid on white where they are transparent.

    python -m venv venv && venv/bin/pip install pillow==13.0.0 numpy datasets==5.2.0
    venv/bin/python pictures.py > pictures.json
"""

import io, json, struct, sys, zlib

import datasets
import numpy as np
from PIL import Image

WIDTH, HEIGHT = 8, 16
ORIENTATION = 0x112


def blocks():
    """Four flat 8x8 blocks at most, so that lossy formats keep their colours; no turn leaves it as it is."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:8] = [220, 30, 30]
    picture[8:] = [30, 30, 210]
    picture[8:, :4] = [30, 180, 60]
    return Image.fromarray(picture)


def encoded(picture, form, **options):
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def turned(number):
    exif = Image.Exif()
    exif[ORIENTATION] = number
    return exif


def decoded(data):
    picture = datasets.Image().decode_example({"bytes": data, "path": None})
    if picture.mode in ("I;16", "I;16B"):  # by 257, not cut off as Pillow's convert does
        values = np.asarray(picture).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if picture.mode in ("1", "L", "I", "F"):
        return picture.convert("L")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


pictures = []


def add(name, data, tolerance=0):
    picture = decoded(data)
    values = np.asarray(picture)
    pictures.append({
        "name": name, "bytes": data.hex(), "width": picture.width, "height": picture.height,
        "channels": 1 if values.ndim == 2 else 3, "pixels": values.reshape(-1).tolist(), "tolerance": tolerance,
    })


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def xmp(number):
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="{number}"/></x:xmpmeta>'.encode()


for number in range(1, 9):
    add(f"jpeg-{number}", encoded(blocks(), "JPEG", quality=95, subsampling=0, exif=turned(number)), 6)
    add(f"webp-{number}", encoded(blocks(), "WEBP", lossless=True, exif=turned(number)))
    add(f"png-{number}", encoded(blocks(), "PNG", exif=turned(number)))
    add(f"tiff-{number}", encoded(blocks(), "TIFF", exif=turned(number)))

plain = encoded(blocks(), "PNG")
exif = turned(6).tobytes()[6:]
end = plain[:-12]
add("png-exif-behind-pixels", end + png_chunk(b"eXIf", exif) + plain[-12:])
head = plain[:33]
raw = b"\nexif\n%8d\n" % (len(exif) + 6) + (b"Exif\0\0" + exif).hex().encode() + b"\n"
add("png-imagemagick", head + png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)) + plain[33:])
add("png-imagemagick-plain", head + png_chunk(b"tEXt", b"Raw profile type exif\0" + raw) + plain[33:])
text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)
add("png-xmp", head + png_chunk(b"iTXt", text) + plain[33:])
add("jpeg-xmp", encoded(blocks(), "JPEG", quality=95, subsampling=0, xmp=xmp(8)), 6)
add("webp-xmp", encoded(blocks(), "WEBP", lossless=True, xmp=xmp(3)))
add("jpeg-nonsense", encoded(blocks(), "JPEG", quality=95, subsampling=0, exif=turned(77)), 6)
big = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", ORIENTATION, 3, 1, 6, 0) + b"\0\0\0\0"
add("jpeg-big-endian", encoded(blocks(), "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0" + big), 6)
long = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", ORIENTATION, 4, 1, 6) + b"\0\0\0\0"
add("jpeg-long", encoded(blocks(), "JPEG", quality=95, subsampling=0, exif=b"Exif\0\0" + long), 6)
add("jpeg-trailer", encoded(blocks(), "JPEG", quality=95, subsampling=0) + b"film\xff\xda\xff\xd9\xff\xda", 6)
add("jpeg-progressive", encoded(blocks(), "JPEG", quality=95, subsampling=0, progressive=True), 6)
ink = Image.fromarray(np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [10, 20, 30, 40], [100, 200, 50, 128]]], np.uint8), "CMYK")
add("jpeg-cmyk", encoded(ink.resize((64, 16), 0), "JPEG", quality=100), 8)
second = blocks().transpose(Image.Transpose.ROTATE_180)
add("jpeg-multi-picture", encoded(blocks(), "MPO", quality=95, subsampling=0, save_all=True, append_images=[second]), 6)

r = np.random.default_rng(0)
noise = Image.fromarray(r.integers(0, 256, (5, 7, 3), dtype=np.uint8))
grey = Image.fromarray(r.integers(0, 256, (5, 7), dtype=np.uint8))
alpha = Image.fromarray(r.integers(0, 256, (5, 7, 4), dtype=np.uint8))
words = Image.fromarray(r.integers(0, 65536, (5, 7), dtype=np.uint16))
feature = datasets.Image()
for mode, picture in [
    ("P", noise.convert("P", palette=Image.Palette.ADAPTIVE, colors=9)), ("CMYK", ink), ("I;16", words),
    ("F", Image.fromarray(np.array([[0, 0.4, 1.5, 100.5, 254.9, 300, -3]], np.float32))),
    ("I", Image.fromarray(np.array([[0, 1, 77, 255]], np.int32))),
]:
    add(f"datasets-{mode}", feature.encode_example(picture)["bytes"])
for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
    for kind, picture in [("rgb", noise), ("grey", grey), ("rgba", alpha), ("la", alpha.convert("LA")), ("palette", noise.quantize(5))]:
        add(f"tiff-{kind}-{compression}", encoded(picture, "TIFF", compression=compression))
add("tiff-bilevel", encoded(grey.convert("1"), "TIFF"))
add("tiff-big-endian-16", encoded(Image.fromarray(np.asarray(words).astype(">u2")), "TIFF"))
add("tiff-pages", encoded(noise, "TIFF", save_all=True, append_images=[grey]))
add("gif", encoded(noise, "GIF"))
add("gif-grey", encoded(grey, "GIF"))
add("gif-animated", encoded(blocks(), "GIF", save_all=True, append_images=[second, blocks()], duration=50))
add("webp-animated", encoded(blocks(), "WEBP", lossless=True, save_all=True, append_images=[second], duration=50))
add("png-animated", encoded(blocks(), "PNG", save_all=True, append_images=[second], duration=50))
for kind, picture in [("rgb", noise), ("grey", grey), ("palette", noise.quantize(5)), ("1", grey.convert("1"))]:
    add(f"bmp-{kind}", encoded(picture, "BMP"))
add("png-16", encoded(words, "PNG"))
json.dump(pictures, sys.stdout, separators=(",", ":"))
