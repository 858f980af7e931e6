#!/usr/bin/env bash
# Checks style and runs the tests; arguments go to pytest.  test.sh [-k expression] ...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/setup_venv.sh
PATH=$PWD/.venv/bin:$PATH

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # the tensors of the tests are too small to share between threads

ruff check .
ruff format --check .
shellcheck .ci/run scripts/*.sh scripts/*/*.sh
# One process more than there are cores, since some tests wait for SLURM or a deadline.
# Files are handed out in the order of tests/conftest.py, not those with most tests first.
exec python -m pytest --numprocesses "$(($(env -u OMP_NUM_THREADS nproc) + 1))" --maxprocesses 8 --dist loadfile --no-loadscope-reorder "$@"
