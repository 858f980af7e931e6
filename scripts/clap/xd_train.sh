#!/usr/bin/env bash
# Cross-dataset: trains on all classes of $SOURCE (imagenet).  xd_train.sh SEED [KEY VALUE ...]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" xd_train "$(dirname "${BASH_SOURCE[0]}")" "$@"
