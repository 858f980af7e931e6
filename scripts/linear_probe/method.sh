# shellcheck shell=bash disable=SC2034  # read by run.sh
trainer=LinearProbe
new_classes=false # a row of weights for each class it was trained on, and none for others
paper_config() { echo vit_b16; }
