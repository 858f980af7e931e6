# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=VPT
paper_config() { echo vit_b16_c2_ep5_batch4_4; } # PROTOCOL DATASET SHOTS -> config of the authors' release
