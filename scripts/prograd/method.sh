# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=ProGrad
paper_config() { # PROTOCOL DATASET SHOTS -> epochs of the authors' release: fewer for fewer images and for ImageNet
    case $1/$2/$3 in
        */imagenet/* | few_shot/*/1) echo vit_b16_ep50 ;;
        few_shot/*/8 | few_shot/*/16) echo vit_b16 ;;
        *) echo vit_b16_ep100 ;;
    esac
}
