"""Writes metrics.json: what pytorch-fid, torch-fidelity and prdc say about rows that are computed by a formula.

    python3 -m venv venv && venv/bin/pip install torch torchvision scipy==1.17.1 pytorch-fid==0.3.0 torch-fidelity==0.4.0 prdc==0.2
    venv/bin/python crates/eval/tests/reference/metrics.py > crates/eval/tests/reference/metrics.json
"""

import contextlib
import json
import sys

import numpy as np
import scipy.linalg
import torch
from prdc import compute_prdc
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

# pytorch-fid 0.3.0 asks for the error estimate too, which SciPy no longer gives.
plain_sqrtm = scipy.linalg.sqrtm
scipy.linalg.sqrtm = lambda a, disp=True: plain_sqrtm(a) if disp else (plain_sqrtm(a), None)


def uniform(rows, columns, first):
    """Hashed positions in [0, 1), multiples of 2^-16: the same numbers in every language."""
    r, c = np.mgrid[first : first + rows, :columns].astype(np.uint32)
    h = r * np.uint32(2654435761) + c * np.uint32(40503) + np.uint32(97)
    h = (h ^ (h >> 15)) * np.uint32(2246822519)
    h = (h ^ (h >> 13)) * np.uint32(3266489917)
    return ((h ^ (h >> 16)) >> 16).astype(np.float32) / np.float32(65536)


def real(rows, columns):
    return uniform(rows, columns, 0)


def generated(rows, columns):
    return uniform(rows, columns, 5000) * np.float32(0.75) + np.float32(0.125) + (np.arange(columns) % 3).astype(np.float32) * np.float32(0.0625)


def frechet(x, y):
    x, y = x.astype(np.float64), y.astype(np.float64)
    return calculate_frechet_distance(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))


def frechet_by_singular_values(x, y):
    """The trace of the root as the nuclear norm of X Y'; for covariances without inverse, of which sqrtm has no root."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    a, b = (v - v.mean(0) for v in (x, y))
    a, b = a / np.sqrt(len(a) - 1), b / np.sqrt(len(b) - 1)
    shared = scipy.linalg.svdvals(a @ b.T).sum()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * shared


def main():
    out = {}
    x, y = real(200, 24), generated(150, 24)
    out["frechet"] = frechet(x, y)
    out["frechet_wide"] = frechet(real(500, 300), generated(700, 300))
    out["frechet_singular"] = frechet_by_singular_values(real(40, 64), generated(30, 64))
    out["frechet_singular_real"] = frechet_by_singular_values(real(40, 64), generated(90, 64))
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    doubles = tx.double(), ty.double()
    # Subsets of all 150 rows leave nothing to chance.
    out["kernel"] = kid_features_to_metric(ty.double(), tx[:150].double(), kid_subsets=1, kid_subset_size=150, verbose=False)["kernel_inception_distance_mean"]
    subsets = kid_features_to_metric(*doubles, kid_subsets=2000, kid_subset_size=50, verbose=False)
    out["kernel_subsets"] = [subsets["kernel_inception_distance_mean"], subsets["kernel_inception_distance_std"]]
    # Few dimensions, where balls overlap neither always nor never.
    u, v = real(200, 6), generated(150, 6)
    prc = prc_features_to_metric(torch.from_numpy(v).double(), torch.from_numpy(u).double(), prc_neighborhood=3, verbose=False)
    out["precision"], out["recall"] = prc["precision"], prc["recall"]
    with contextlib.redirect_stdout(sys.stderr):
        prdc = compute_prdc(u.astype(np.float64), v.astype(np.float64), nearest_k=5)
    out["density"], out["coverage"] = float(prdc["density"]), float(prdc["coverage"])
    out["inception_score"] = isc_features_to_metric(8 * ty, splits=3, shuffle=False)["inception_score_mean"]
    print(json.dumps(out, indent=1))


main()
