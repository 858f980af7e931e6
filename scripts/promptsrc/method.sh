# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=PromptSRC
paper_config() { # PROTOCOL DATASET SHOTS -> config of the authors' release
    case $1/$2 in
        few_shot/stanford_cars | few_shot/oxford_flowers | few_shot/fgvc_aircraft | few_shot/dtd | few_shot/eurosat)
            echo vit_b16_c2_ep50_batch4_4+4ctx_few_shot_far ;;
        few_shot/*) echo vit_b16_c2_ep50_batch4_4+4ctx_few_shot ;;
        xd_*/*) echo vit_b16_c2_ep20_batch4_4+4ctx_cross_datasets ;;
        *) echo vit_b16_c2_ep20_batch4_4+4ctx ;;
    esac
}
