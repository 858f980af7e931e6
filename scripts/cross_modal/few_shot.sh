#!/usr/bin/env bash
# Few-shot: trains on SHOTS images per class, tests on all classes; seeds 1 2 3 unless named.
# few_shot.sh DATASET SHOTS [SEED...] [KEY VALUE ...]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" few_shot "$(dirname "${BASH_SOURCE[0]}")" "$@"
