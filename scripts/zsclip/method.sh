# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=ZeroshotCLIP
trains=false
paper_config() { echo vit_b16; }
