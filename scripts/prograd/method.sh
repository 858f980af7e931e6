# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=ProGrad # the release is for RN50 (CFG=rn50_ep100), base-to-new and cross-dataset with SHOTS=4
paper_config() { # PROTOCOL DATASET SHOTS -> epochs of the authors' release: fewer for fewer images and for ImageNet
    case $1/$2/$3 in
        */imagenet/* | few_shot/*/1) echo vit_b16_ep50 ;;
        few_shot/oxford_flowers/8 | few_shot/dtd/8 | few_shot/eurosat/8) echo vit_b16_lambda08 ;;
        few_shot/oxford_flowers/16 | few_shot/dtd/16 | few_shot/eurosat/16) echo vit_b16_lambda08 ;;
        few_shot/*/8 | few_shot/*/16) echo vit_b16 ;;
        *) echo vit_b16_ep100 ;;
    esac
}
