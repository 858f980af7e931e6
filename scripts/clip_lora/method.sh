# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=CLIP_LoRA
paper_config() { echo vit_b16; } # PROTOCOL DATASET SHOTS -> config of the released code
