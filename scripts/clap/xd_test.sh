#!/usr/bin/env bash
# Cross-dataset: tests the model of xd_train.sh on DATASET.  xd_test.sh DATASET SEED [KEY VALUE ...]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" xd_test "$(dirname "${BASH_SOURCE[0]}")" "$@"
