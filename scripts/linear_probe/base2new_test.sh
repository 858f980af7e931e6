#!/usr/bin/env bash
# Base-to-new: a linear probe has nothing to test on the new classes, and says so.  base2new_test.sh DATASET SEED
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" base2new_test "$(dirname "${BASH_SOURCE[0]}")" "$@"
