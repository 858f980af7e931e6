#!/usr/bin/env bash
# CoOp's few-shot runs, seeds 1 2 3.  main.sh DATASET CFG CTP NCTX SHOTS CSC [KEY VALUE ...]
# CTP: class token position (end, middle, front); NCTX: context length; CSC: class-specific context (True, False)
(($# >= 6)) || { echo "error: usage: main.sh DATASET CFG CTP NCTX SHOTS CSC [KEY VALUE ...]" >&2; exit 2; }
# these runs say themselves how long the context is, so it cannot come from the words in tiny.yaml
random=() && [[ $2 == tiny ]] && random=(TRAINER.COOP.CTX_INIT "")
CFG=$2 VARIANT=nctx$4_csc$6_ctp$3 exec bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" few_shot "$(dirname "${BASH_SOURCE[0]}")" "$1" "$5" 1 2 3 \
    TRAINER.COOP.N_CTX "$4" TRAINER.COOP.CSC "$6" TRAINER.COOP.CLASS_TOKEN_POSITION "$3" "${random[@]}" "${@:7}"
