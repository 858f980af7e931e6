#!/usr/bin/env bash
# Tests zero-shot CLIP on all classes; CFG is rn50, rn101, vit_b32, vit_b16 or tiny.
# zeroshot.sh DATASET CFG [KEY VALUE ...]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" zeroshot "$(dirname "${BASH_SOURCE[0]}")" "$@"
