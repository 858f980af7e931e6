#!/usr/bin/env bash
# Base-to-new: tests CuPL on the base classes of DATASET.  base2new_train.sh DATASET SEED [KEY VALUE ...]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" base2new_train "$(dirname "${BASH_SOURCE[0]}")" "$@"
