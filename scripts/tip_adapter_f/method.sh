# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=TipAdapterF
paper_config() { # PROTOCOL DATASET SHOTS -> config of the authors' release: more epochs for EuroSAT
    if [[ $2 == eurosat ]]; then echo vit_b16_ep100; else echo vit_b16; fi
}
