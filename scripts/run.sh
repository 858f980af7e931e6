#!/usr/bin/env bash
# Runs what a script of scripts/<method>/ names: run.sh PROTOCOL METHOD ARGUMENTS..., see comparison/scripts.py.
# KEY VALUE pairs at the end go to train.py. A run whose results.json exists is skipped. Environment:
#   DATA    folder of the datasets (data/ at the root)     SHOTS   images per class (16)
#   OUTPUT  folder of the results (output/ at the root)    SOURCE  dataset that xd_train trains on (imagenet)
#   CFG     config name (the method's paper config, or     VARIANT name of settings that the config name does not tell:
#           tiny where the dataset names that backbone)            a folder between config and seed (none)
#   PYTHON  interpreter (.venv at the root, else python3)
#   PROCESSES  number of processes, one per GPU, that share every run (1)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
python=${PYTHON:-$root/.venv/bin/python}
[[ -n ${PYTHON:-} || -x $python ]] || python=python3
exec "$python" "$root/scripts/run.py" "$@"
