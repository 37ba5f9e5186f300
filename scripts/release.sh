#!/usr/bin/env bash
# Builds the program as it is handed out: dist/learngene, stripped, and dist/learngene.debug, which holds its line tables.
# gdb, addr2line and perf find the second by the name that the first carries, as long as both lie in one folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for tool in objcopy cargo; do
    command -v "$tool" > /dev/null || { echo "scripts/release.sh needs $tool (objcopy is in binutils)" >&2; exit 2; }
done
target="${CARGO_TARGET_DIR:-target}"
mkdir -p dist
cargo build --release -p learngene "$@" \
    --config 'profile.release.debug="line-tables-only"' --config 'profile.release.strip=false'
objcopy --only-keep-debug "$target/release/learngene" dist/learngene.debug
objcopy --strip-debug --strip-unneeded --add-gnu-debuglink=dist/learngene.debug \
    "$target/release/learngene" dist/learngene
ls -l dist
