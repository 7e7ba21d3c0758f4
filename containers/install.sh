#!/usr/bin/env bash
# Install on Debian what jobs need beside a checkout. Both recipes here run this: Containerfile (podman) and puma.def (Apptainer).
set -euo pipefail
cd "$(dirname "$0")"

apt-get update
# `compile: true` compiles C++ against Python's headers.
apt-get install --yes --no-install-recommends ca-certificates g++ python3-dev python3-venv
rm -rf /var/lib/apt/lists/*

# The library itself stays out: jobs import that of the checkout, whose fingerprints stand in the results.
python3 - > requirements.txt << 'PYTHON'
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
print(*project["dependencies"], *extras["workflow"], *extras["timm"], sep="\n")
PYTHON
python3 -m venv /opt/venv
/opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt --requirement requirements.txt
