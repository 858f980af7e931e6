#!/usr/bin/env bash
# From nothing to the comparison: installs, runs base-to-new with every method on the embedded datasets and prints
# the table. Finished runs are skipped. DATASETS and METHODS (lists in quotes, or all), SEEDS, JOBS and OUTPUT change
# what runs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
bash "$root/scripts/setup_venv.sh"
exec "$root/.venv/bin/python" "$root/scripts/quickstart.py"
