# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=CLIP_Adapter
paper_config() { # PROTOCOL DATASET SHOTS -> config: CoOp's, fewer epochs for fewer images and for ImageNet
    case $1/$2/$3 in
        */imagenet/* | few_shot/*/1) echo vit_b16_ep50 ;;
        few_shot/*/2 | few_shot/*/4) echo vit_b16_ep100 ;;
        *) echo vit_b16 ;;
    esac
}
