#!/usr/bin/env bash
# Checks that the GPU backends compile; runs nothing on a GPU. Not part of .ci/run: each brings many dependencies.
#
#     scripts/check-gpu-features.sh            both
#     scripts/check-gpu-features.sh wgpu       one of them
set -euo pipefail

# With `cuda` comes a package whose build script downloads LLVM. It leaves that out where documentation is built, and a
# check needs no more than that.
export DOCS_RS=1
cd "$(dirname "${BASH_SOURCE[0]}")/.."

features=("$@")
if [ ${#features[@]} -eq 0 ]; then
    features=(cuda wgpu)
fi
for feature in "${features[@]}"; do
    echo "checking feature $feature" >&2
    cargo check --release -p learngene --features "$feature"
done
