#!/bin/sh
# The picture of the README, made with this program alone: pre-trains by `quickstart` (minutes) unless the folder is there
# already, and paints some of its classes.
#
#     scripts/front-picture.sh [FOLDER]
set -eu
cd "$(dirname "$0")/.."
folder=${1:-runs/front-picture}
if [ ! -e "$folder/results.json" ]; then
    cargo run --release -p learngene -- quickstart --out "$folder"
fi
mkdir -p docs/pictures
cargo run --release -p learngene-compare --example front_picture -- \
    "$folder" face,flag,button,portrait heart,clock,bird,plant docs/pictures/tailors.png
