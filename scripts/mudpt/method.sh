# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=MuDPT
paper_config() { echo vit_b16_bz4_ep10_nctx4_depth9; } # PROTOCOL DATASET SHOTS -> config of the authors' release
