"""Reads `arr_0` of an archive as ADM does, and checks it against what NumPy loads.

    python adm_reader.py FILE BATCH

ADM's evaluations/evaluator.py (openai/guided-diffusion, commit 22e0df8) opens the member of the ZIP file, reads the head of
the array from it, and then takes images a batch at a time; a file that it would have to load as a whole is refused here.
It looks for finished statistics, `mu`, with `numpy.load`.
"""

import sys
import zipfile

import numpy as np


def batches(path, size):
    with open(path, "rb") as file, zipfile.ZipFile(file, "r") as archive:
        assert "arr_0.npy" in archive.namelist(), archive.namelist()
        with archive.open("arr_0.npy", "r") as member:
            assert np.lib.format.read_magic(member) == (1, 0)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
            assert not fortran and dtype == np.uint8, (fortran, dtype)
            for start in range(0, shape[0], size):
                count = min(size, shape[0] - start)
                data = member.read(count * int(np.prod(shape[1:])))
                yield np.frombuffer(data, dtype=dtype).reshape(count, *shape[1:])
            # The end, where zipfile compares checksums.
            assert member.read() == b""


path, size = sys.argv[1], int(sys.argv[2])
read = list(batches(path, size))
loaded = np.load(path)
assert list(loaded.keys()) == ["arr_0", "arr_1"]
images, labels = loaded["arr_0"], loaded["arr_1"]
assert (np.concatenate(read) == images).all()
assert labels.dtype == np.int64
assert images.std() > 0 and (images[0] != images[1]).any()
print([len(batch) for batch in read], list(images.shape), labels.tolist())
