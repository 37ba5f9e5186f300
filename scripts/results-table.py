#!/usr/bin/env python3
"""Prints a table of docs/results.md, in Markdown, from the results.json of a comparison.

    scripts/results-table.py experiments/results/novel/results.json

Rows by v loss, bases after them; the best of each column in bold. One table for each number of images of a class.
"""

import json
import sys


def stat(of, digits):
    return None if of is None else f"{of['mean']:.{digits}f}"


def by_seed(row):
    return " ".join(f"{seed['velocity']:.4f}".removeprefix("0") for seed in row["by_seed"])


def drawn(row, guidance, quantity):
    for found in (d for d in row["drawn"] if d["guidance"] == guidance):
        if quantity == "probe":
            return found["probe"]
        measures = {m["name"]: m for m in found.get("measures", [])}
        # Files from before a comparison measured everything have this one alone.
        return measures.get(quantity, found.get("frechet"))
    return None


def cells(row, guidances):
    """Text, and what is best where that can be said: the smallest of these numbers."""
    cost, velocity = row["cost"], row["velocity"]
    loss = "diverged"
    if velocity:
        spread = f" +- {velocity['sd']:.4f}" if velocity["sd"] is not None else ""
        loss = stat(velocity, 4) + spread
    made = [
        (row["name"], None),
        (f"{cost['trained_parameters'] / 1e6:.2f} M" if cost else "", None),
        (f"{row['macs'] / 1e6:.0f} M", None),
        (loss, velocity and velocity["mean"]),
        (by_seed(row), None),
        (stat(row["epsilon"], 4), row["epsilon"] and row["epsilon"]["mean"]),
    ]
    for quantity, digits, sign in [("probe", 2, -1), ("FD-Lite0", 0, 1)]:
        for guidance in guidances:
            of = drawn(row, guidance, quantity)
            made.append((stat(of, digits), of and sign * round(of["mean"], digits)))
    return made


def table(rows, guidances):
    head = ["row", "trained", "MACs", "v loss, mean +- sd", "by seed", "epsilon loss"]
    head += [f"{name} g {g:g}" for name in ("probe", "FD-Lite0") for g in guidances]
    adapted = [r for r in rows if r["method"]]
    adapted.sort(key=lambda r: r["velocity"]["mean"] if r["velocity"] else float("inf"))
    lines = [cells(r, guidances) for r in adapted]
    best = []
    for column in zip(*lines):
        values = [round(value, 4) for _, value in column if value is not None]
        best.append(min(values) if values else None)
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for line in lines:
        texts = []
        for (text, value), least in zip(line, best):
            bold = value is not None and round(value, 4) == least
            texts.append(f"**{text}**" if bold else text or "")
        print("| " + " | ".join(texts) + " |")
    for row in (r for r in rows if not r["method"]):
        print("| " + " | ".join(text or "" for text, _ in cells(row, guidances)) + " |")


def main(path):
    with open(path, encoding="utf-8") as file:
        found = json.load(file)
    guidances = found["comparison"]["judge"]["guidance"]
    for count in found["comparison"]["images_per_class"]:
        rows = [r for r in found["rows"] if not r["method"] or r["images_per_class"] == count]
        if len(found["comparison"]["images_per_class"]) > 1:
            print(f"\n{count or 'all'} images of each class\n")
        table(rows, guidances)


main(sys.argv[1])
