# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=TCP
paper_config() { # PROTOCOL DATASET SHOTS -> config of the authors' release, which has fewer epochs for two data sets
    case $2 in
        imagenet | sun397) echo vit_b16_ep25 ;;
        *) echo vit_b16_ep100_ctxv1 ;;
    esac
}
