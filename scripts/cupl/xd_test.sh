#!/usr/bin/env bash
# Cross-dataset: tests CuPL on DATASET.  xd_test.sh DATASET SEED [KEY VALUE ...]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" xd_test "$(dirname "${BASH_SOURCE[0]}")" "$@"
