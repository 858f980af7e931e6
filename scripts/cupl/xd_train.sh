#!/usr/bin/env bash
# Cross-dataset: tests CuPL on $SOURCE (imagenet).  xd_train.sh SEED [KEY VALUE ...]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" xd_train "$(dirname "${BASH_SOURCE[0]}")" "$@"
