# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=TipAdapter
paper_config() { echo vit_b16; } # PROTOCOL DATASET SHOTS -> config of the authors' release
