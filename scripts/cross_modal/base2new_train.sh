#!/usr/bin/env bash
# Base-to-new: trains on the base classes of DATASET and tests on them.  base2new_train.sh DATASET SEED [KEY VALUE ...]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" base2new_train "$(dirname "${BASH_SOURCE[0]}")" "$@"
