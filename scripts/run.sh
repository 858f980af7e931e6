#!/usr/bin/env bash
# One run of one of the field's protocols. The scripts in scripts/<method>/ only name the protocol and the method, whose
# trainer and paper configs are in scripts/<method>/method.sh:
#
#   run.sh base2new_train METHOD DATASET SEED             train and test on the base classes
#   run.sh base2new_test  METHOD DATASET SEED             test that model on the new classes
#   run.sh xd_train       METHOD SEED                     train on the source dataset
#   run.sh xd_test        METHOD DATASET SEED             test that model on another dataset
#   run.sh few_shot       METHOD DATASET SHOTS [SEED...]  train on SHOTS images per class and test (seeds 1 2 3)
#   run.sh zeroshot       METHOD DATASET CFG              test CLIP as it is, all classes, no seed
#
# KEY VALUE pairs at the end go to train.py. A run whose results.json exists is skipped. Environment:
#   DATA    folder of the datasets (data/ at the root)     SHOTS   images per class (16)
#   OUTPUT  folder of the results (output/ at the root)    SOURCE  dataset that xd_train trains on (imagenet)
#   CFG     config name (the method's paper config, or     VARIANT folder between config and seed, for settings
#           tiny where the dataset names that backbone)            that the config name does not tell (none)
#   PYTHON  interpreter (.venv at the root, else python3)
#   PROCESSES  number of processes, one per GPU, that share every run (1)
#   PLAN    if set, nothing is run: the arguments of train.py are printed, each ended by a NUL, a run by an RS
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)/
[[ $(pwd -P)/ == "$root" ]] && root="" # short paths in messages and results
data=${DATA:-${root}data}
output=${OUTPUT:-${root}output}
shots=${SHOTS:-16}
source=${SOURCE:-imagenet}
variant=${VARIANT:+/$VARIANT}
python=${PYTHON:-${root}.venv/bin/python}
[[ -n ${PYTHON:-} || -x $python ]] || python=python3
launcher=() # what starts train.py, after the interpreter

die() {
    echo "error: $*" >&2
    exit 2
}

dataset_file() { echo "${root}configs/datasets/$1.yaml"; }

check_dataset() { # stops where there is no such dataset; train.py knows the nearest name
    [[ -f $(dataset_file "$1") ]] && return
    "$python" "${root}train.py" --dataset-config-file "$(dataset_file "$1")"
    exit 2
}

check_number() { # NAME VALUE
    [[ ${2-} =~ ^[0-9]+$ ]] || die "$1 must be a number, not \"${2-}\""
}

check_number PROCESSES "${PROCESSES:-1}"
if ((${PROCESSES:-1} > 1)); then
    launcher=(-m torch.distributed.run --standalone --nproc_per_node "$PROCESSES")
fi

config_for() { # DATASET -> name of the config file, without .yaml
    if [[ -n ${CFG:-} ]]; then
        echo "$CFG"
    elif grep -Eq "NAME: *[\"']?tiny[\"' }]*(#.*)?$" "$(dataset_file "$1")"; then
        echo tiny
    else
        paper_config "$protocol" "$1" "$shots"
    fi
}

trains() { [[ $trains == true ]]; }

finished() { [[ -f $1/results.json ]]; }

check_trained() { # DIRECTORY SCRIPT ARGUMENTS: stops where the run that must come first is missing
    if ! trains || finished "$1" || [[ -n ${PLAN:-} ]]; then return; fi
    local set="${CFG:+CFG=$CFG }${SHOTS:+SHOTS=$SHOTS }${SOURCE:+SOURCE=$SOURCE }"
    [[ -z ${TRAINED_BY:-} ]] || set=""
    die "no finished training run in $1, first run: ${set}bash ${root}scripts/${TRAINED_BY:-$method/$2.sh ${*:3}}"
}

run() { # DIRECTORY DATASET CONFIG SEED [further arguments of train.py]
    local arguments=(--root "$data" ${4:+--seed "$4"} --trainer "$trainer"
        --dataset-config-file "$(dataset_file "$2")" --config-file "${root}configs/trainers/$trainer/$3.yaml"
        --output-dir "$1" "${@:5}")
    if [[ -n ${PLAN:-} ]]; then
        printf '%s\0' "${arguments[@]}"
        printf '\036'
    elif finished "$1"; then
        echo "skipped, finished before: $1/results.json$pairs_hint"
    else
        "$python" ${launcher[@]+"${launcher[@]}"} "${root}train.py" "${arguments[@]}"
    fi
}

train() { # as run; a method that trains nothing is only tested
    if trains; then run "$@"; else run "${@:1:4}" --eval-only "${@:5}"; fi
}

test_model() { # MODEL_DIRECTORY, then as run
    if trains; then run "${@:2:4}" --eval-only --model-dir "$1" "${@:6}"; else run "${@:2:4}" --eval-only "${@:6}"; fi
}

protocol=${1-} method=${2-} # a method's scripts name their own folder, so that a copy of them is another method's
[[ -d $method ]] && method=$(basename "$(cd "$method" && pwd -P)")
case $protocol in
    base2new_train | base2new_test | xd_test) usage="DATASET SEED" needs=2 ;;
    xd_train) usage="SEED" needs=1 ;;
    few_shot) usage="DATASET SHOTS [SEED...]" needs=2 ;;
    zeroshot) usage="DATASET CFG" needs=2 ;;
    *) die "unknown protocol \"$protocol\" (base2new_train, base2new_test, xd_train, xd_test, few_shot, zeroshot)" ;;
esac
shift $(($# < 2 ? $# : 2))
if [[ -z $method ]] || (($# < needs)); then
    die "usage: $protocol.sh $usage [KEY VALUE ...]"
fi
[[ -f ${root}scripts/$method/method.sh ]] || die "no ${root}scripts/$method/method.sh, which names the method's trainer"
trainer="" trains=true new_classes=true
# shellcheck source=/dev/null
source "${root}scripts/$method/method.sh"

pairs_hint="" # where the caller gave KEY VALUE pairs that the folder's name does not tell
if [[ -z $variant && ${*: -2:1} =~ ^[A-Z_]+\.[A-Z_.]+$ ]]; then
    pairs_hint=" (KEY VALUE pairs are not compared: VARIANT=name keeps other settings apart)"
fi

own="" key="" # own: the folder or list of one's own images, which then is part of the dataset's name in results
for argument; do
    case $key in
        DATASET.LIST) own=-${argument%.*} ;;
        DATASET.DIR) [[ -n $own || ! $argument =~ [^./] ]] || own=-$argument ;;
    esac
    key=$argument
done
own=${own/#-.\//-} own=${own/#-\//-} own=${own%/}
own=${own//\//-} # the whole path: photos/birds and paintings/birds are two

case $protocol in
    base2new_*)
        dataset=$1 seed=$2
        check_dataset "$dataset"
        check_number SEED "$seed"
        [[ $protocol$new_classes != base2new_testfalse ]] ||
            die "$trainer knows only the classes it was trained on: there is nothing to test on the new classes"
        config=$(config_for "$dataset")
        run_name=$dataset$own/shots_$shots/$trainer/$config$variant/seed$seed
        base=$output/base2new/train_base/$run_name new=$output/base2new/test_new/$run_name
        if [[ $protocol == base2new_train ]]; then
            train "$base" "$dataset" "$config" "$seed" \
                DATASET.NUM_SHOTS "$shots" DATASET.SUBSAMPLE_CLASSES base "${@:3}"
        else
            finished "$new" || check_trained "$base" base2new_train "$dataset" "$seed" "${@:3}"
            test_model "$base" "$new" "$dataset" "$config" "$seed" \
                DATASET.NUM_SHOTS "$shots" DATASET.SUBSAMPLE_CLASSES new "${@:3}"
        fi
        ;;
    xd_train)
        check_dataset "$source"
        check_number SEED "$1"
        config=$(config_for "$source")
        train "$output/$source/$trainer/${config}_${shots}shots$variant/seed$1" "$source" "$config" "$1" \
            DATASET.NUM_SHOTS "$shots" "${@:2}"
        ;;
    xd_test)
        dataset=$1 seed=$2
        check_dataset "$source"
        check_dataset "$dataset"
        check_number SEED "$seed"
        config=$(config_for "$source") # the model's own
        model=$output/$source/$trainer/${config}_${shots}shots$variant/seed$seed
        directory=$output/evaluation/$trainer/${config}_${shots}shots$variant/$dataset$own/seed$seed
        finished "$directory" || check_trained "$model" xd_train "$seed"
        test_model "$model" "$directory" "$dataset" "$config" "$seed" "${@:3}"
        ;;
    few_shot)
        dataset=$1 shots=$2
        check_dataset "$dataset"
        check_number SHOTS "$shots"
        shift 2
        seeds=()
        while [[ ${1-} =~ ^[0-9]+$ ]]; do
            seeds+=("$1")
            shift
        done
        ((${#seeds[@]})) || seeds=(1 2 3)
        config=$(config_for "$dataset")
        for seed in "${seeds[@]}"; do
            directory=$output/$dataset$own/$trainer/${config}_${shots}shots$variant/seed$seed
            train "$directory" "$dataset" "$config" "$seed" DATASET.NUM_SHOTS "$shots" "$@"
        done
        ;;
    zeroshot)
        check_dataset "$1"
        run "$output/$trainer/$2/$1$own" "$1" "$2" "" --eval-only "${@:3}"
        ;;
esac
