#!/bin/sh
# Install `python -m acl_lightning serve` without torch, for the image or for any environment: docker/install.sh [PYTHON]
set -eu
python=${1:-python}
root=$(cd "$(dirname "$0")/.." && pwd)
options="--disable-pip-version-check --no-cache-dir --no-compile --quiet"
"$python" -m pip install $options --constraint "$root/constraints.txt" --requirement "$root/docker/requirements.txt"
"$python" -m pip install $options --no-deps "$root"
