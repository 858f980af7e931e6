#!/usr/bin/env bash
# From nothing to the comparison: installs, runs base-to-new with four methods on the embedded datasets and prints the
# tables. Finished runs are skipped. DATASETS and METHODS (lists in quotes, or all; DATASETS also eleven and the like),
# SEEDS, JOBS and OUTPUT change what runs; arguments go to benchmark.py base2new.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
bash "$root/scripts/setup_venv.sh"
[[ $(pwd -P) == "$root" ]] && root=. # short paths in messages and results

read -ra methods <<<"${METHODS:-cocoop mudpt coop zsclip}" # the slowest first, so that no core idles at the end
read -ra datasets <<<"${DATASETS:-fashion digits lamplight patterns}"
read -ra seeds <<<"${SEEDS:-1 2 3}"
exec "$root/.venv/bin/python" "$root/benchmark.py" base2new --trainers "${methods[@]}" --datasets "${datasets[@]}" \
    --seeds "${seeds[@]}" --output "${OUTPUT:-$root/output}" ${JOBS:+--jobs "$JOBS"} ${SHOTS:+--shots "$SHOTS"} "$@"
