#!/usr/bin/env bash
# Base-to-new: tests the model of base2new_train.sh on the new classes.  base2new_test.sh DATASET SEED [KEY VALUE ...]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" base2new_test "$(dirname "${BASH_SOURCE[0]}")" "$@"
