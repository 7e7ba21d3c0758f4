#!/usr/bin/env bash
# Build the image `puma` with podman, which gets the arguments. It stands on Debian's image; where no registry of images
# answers, on one made here from Debian's packages by mmdebstrap.
set -euo pipefail
cd "$(dirname "$0")/.."

base=docker.io/library/debian:12-slim
if ! podman image exists "$base" && ! podman pull "$base"; then
  base=localhost/debian:12
  if ! podman image exists "$base"; then
    mmdebstrap --variant=minbase bookworm | podman import - "$base"
  fi
fi
podman build --build-arg "BASE=$base" "$@" --tag puma --file containers/Containerfile .
