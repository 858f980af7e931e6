# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=CoOp
paper_config() { # PROTOCOL DATASET SHOTS -> config of the paper: fewer epochs for fewer images and for ImageNet
    case $1/$2/$3 in
        few_shot/imagenet/* | few_shot/*/1) echo vit_b16_ep50 ;;
        few_shot/*/2 | few_shot/*/4) echo vit_b16_ep100 ;;
        few_shot/*) echo vit_b16 ;;
        */imagenet/*) echo vit_b16_ep50_ctxv1 ;;
        *) echo vit_b16_ctxv1 ;;
    esac
}
