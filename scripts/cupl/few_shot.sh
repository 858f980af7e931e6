#!/usr/bin/env bash
# Few-shot: tests CuPL on all classes, the baseline at any number of SHOTS.
# few_shot.sh DATASET SHOTS [SEED...] [KEY VALUE ...]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" few_shot "$(dirname "${BASH_SOURCE[0]}")" "$@"
