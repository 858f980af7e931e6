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
# Files are handed out in the order of tests/conftest.py, not those with most tests first.
# one worker more than there are cores, because some tests wait for a cluster's queue or for other processes
workers=$(($(nproc) < 7 ? $(nproc) + 1 : 8))
exec python -m pytest --numprocesses "$workers" --dist loadfile --no-loadscope-reorder "$@"
