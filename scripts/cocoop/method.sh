# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=CoCoOp
paper_config() { echo vit_b16_c4_ep10_batch1_ctxv1; } # PROTOCOL DATASET SHOTS -> config of the paper
