# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=MaPLe
paper_config() { # PROTOCOL DATASET SHOTS -> config of the authors' release
    case $1 in
        xd_*) echo vit_b16_c2_ep5_batch4_2ctx_cross_datasets ;;
        *) echo vit_b16_c2_ep5_batch4_2ctx ;;
    esac
}
