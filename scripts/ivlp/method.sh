# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=IVLP
paper_config() { echo vit_b16_c2_ep5_batch4_2+2ctx; } # PROTOCOL DATASET SHOTS -> config of the authors' release
