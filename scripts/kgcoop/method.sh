# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=KgCoOp # the release trains for other data sets with SHOTS=4
paper_config() { echo vit_b16_ep100_ctxv1; } # PROTOCOL DATASET SHOTS -> config of the authors' release
