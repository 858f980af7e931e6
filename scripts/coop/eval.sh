#!/usr/bin/env bash
# Tests on DATASET what main.sh trained on imagenet, seeds 1 2 3.  eval.sh DATASET CFG [KEY VALUE ...]
(($# >= 2)) || { echo "error: usage: eval.sh DATASET CFG [KEY VALUE ...]" >&2; exit 2; }
# these runs say themselves how long the context is, so it cannot come from the words in tiny.yaml
random=() && [[ $2 == tiny ]] && random=(TRAINER.COOP.CTX_INIT "")
export CFG=$2 VARIANT=nctx16_cscFalse_ctpend TRAINED_BY="coop/main.sh ${SOURCE:-imagenet} $2 end 16 ${SHOTS:-16} False"
for seed in 1 2 3; do
    bash "$(dirname "${BASH_SOURCE[0]}")/../run.sh" xd_test "$(dirname "${BASH_SOURCE[0]}")" "$1" "$seed" \
        TRAINER.COOP.N_CTX 16 TRAINER.COOP.CSC False TRAINER.COOP.CLASS_TOKEN_POSITION end "${random[@]}" "${@:3}" || exit
done
