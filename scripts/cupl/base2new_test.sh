#!/usr/bin/env bash
# Base-to-new: tests CuPL on the new classes of DATASET.  base2new_test.sh DATASET SEED [KEY VALUE ...]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" base2new_test "$(dirname "${BASH_SOURCE[0]}")" "$@"
