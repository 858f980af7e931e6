#!/usr/bin/env bash
# Writes requirements.txt from requirements.in: every package that is needed, on every Python and system, with a version
# and the hashes of its published files. What is locked already keeps its version; arguments go to uv, such as
# --upgrade-package urllib3, or --upgrade for all that requirements.in leaves open.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=.venv/bin/uv
[[ -x $uv ]] || uv=uv # the one on the PATH, where .venv is older than this
exec "$uv" pip compile requirements.in --output-file requirements.txt --quiet --no-config --no-python-downloads \
    --universal --python-version 3.10 --generate-hashes --custom-compile-command "bash scripts/lock.sh" "$@"
