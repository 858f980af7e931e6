"""Every config key that all trainers and datasets share, with its default: upstream Dassl's, without the nodes of its
domain-adaptation methods. A trainer's own keys, under ``TRAINER.<NAME>``, are declared beside the trainer.
"""

from .merge import CfgNode


def get_cfg_default() -> CfgNode:
    """Return a new config with the defaults."""
    return CfgNode(
        {
            "VERSION": 1,
            "OUTPUT_DIR": "./output",  # log.txt, checkpoints, results
            "RESUME": "",  # folder of a former run to go on from; OUTPUT_DIR is looked at anyway
            "SEED": -1,  # negative: differs from run to run
            "DETERMINISTIC": False,  # only algorithms that give the same bits each time on a GPU, too; slower
            "USE_CUDA": True,  # if there is a GPU
            "VERBOSE": True,
            "INPUT": _input(),
            "DATASET": _dataset(),
            "DATALOADER": _dataloader(),
            "MODEL": _model(),
            "OPTIM": _optim(),
            "TRAIN": {
                "CHECKPOINT_FREQ": 0,  # keep the checkpoint of every n-th epoch; 0: only the last one's
                "CHECKPOINT_STEPS": 0,  # batches from one checkpoint within an epoch to the next; 0: only at its end
                "NONFINITE_LOSS": "stop",  # or skip: batches whose loss is NaN or infinite are left out and counted
                "PRINT_FREQ": 10,  # batches from one log line to the next
                "CHUNK_CLASSES": 0,  # encoded at a time, and again for the gradients, to bound memory; 0: all at once
                "CUDA_GRAPH": "auto",  # on a GPU, start the kernels of a step as one where that can be; or on, off
                "COUNT_ITER": "train_x",  # which loader makes an epoch, for trainers that use train_u too
            },
            "TEST": {
                "EVALUATOR": "Classification",
                "PER_CLASS_RESULT": False,
                "COMPUTE_CMAT": False,  # confusion matrix: cmat.pt, cmat.csv and cmat.png in OUTPUT_DIR
                "NO_TEST": False,
                "SPLIT": "test",  # or val, for the evaluation after training
                "FINAL_MODEL": "last_step",  # or best_val: the epoch that is best on the val split
                "CALIBRATE": False,  # probabilities at the temperature that fits the val split best
            },
            "TRAINER": {"NAME": ""},
        }
    )


def _input() -> dict:
    return {
        "SIZE": (224, 224),  # height, width
        "INTERPOLATION": "bilinear",  # or bicubic, nearest; fast_bilinear, fast_bicubic: values differ by 1 or 2 of 255
        "TRANSFORMS": (),  # names from dassl.data.transforms.AVAI_CHOICES
        "NO_TRANSFORM": False,
        "PIXEL_MEAN": [0.485, 0.456, 0.406],  # of ImageNet, as PIXEL_STD
        "PIXEL_STD": [0.229, 0.224, 0.225],
        "CROP_PADDING": 4,  # random_crop
        "RRCROP_SCALE": (0.08, 1.0),  # random_resized_crop: share of the image's area
        "CUTOUT_N": 1,
        "CUTOUT_LEN": 16,
        "GN_MEAN": 0.0,  # gaussian_noise
        "GN_STD": 0.15,
        "RANDAUGMENT_N": 2,
        "RANDAUGMENT_M": 10,
        "COLORJITTER_B": 0.4,  # brightness, contrast, saturation, hue
        "COLORJITTER_C": 0.4,
        "COLORJITTER_S": 0.4,
        "COLORJITTER_H": 0.1,
        "RGS_P": 0.2,  # probability of randomgrayscale
        "GB_P": 0.5,  # probability of gaussian_blur
        "GB_K": 21,  # its kernel size, odd
    }


def _dataset() -> dict:
    return {
        "ROOT": "",
        "NAME": "",
        "SOURCE_DOMAINS": (),
        "TARGET_DOMAINS": (),
        "NUM_LABELED": -1,  # labelled images in all, semi-supervised learning
        "NUM_SHOTS": -1,  # images per class; below 1: all
        "VAL_PERCENT": 0.1,
        "STL10_FOLD": -1,
        "CIFAR_C_TYPE": "",
        "CIFAR_C_LEVEL": 1,
        "ALL_AS_UNLABELED": False,
    }


def _dataloader() -> dict:
    return {
        "NUM_WORKERS": 4,  # processes that load; never more than there are cores; under torchrun of all its processes
        "CACHE_MB": 1024,  # MiB for decoded images of each training split, kept from epoch to epoch
        "EXACT_DECODING": False,  # decode large JPEGs in full, not at 1/2, 1/4 or 1/8 where that has pixels to spare
        "K_TRANSFORMS": 1,  # "img" becomes a list of this many augmented views, in training
        "RETURN_IMG0": False,  # add "img0", the image without augmentation
        "TRAIN_X": {
            "SAMPLER": "RandomSampler",
            "BATCH_SIZE": 32,
            "N_DOMAIN": 0,  # RandomDomainSampler: domains per batch; 0: all
            "N_INS": 16,  # RandomClassSampler: images per class in a batch
        },
        "TRAIN_U": {
            "SAME_AS_X": True,  # take the settings of TRAIN_X
            "SAMPLER": "RandomSampler",
            "BATCH_SIZE": 32,
            "N_DOMAIN": 0,
            "N_INS": 16,
        },
        "TEST": {"SAMPLER": "SequentialSampler", "BATCH_SIZE": 32},
    }


def _model() -> dict:
    return {
        "INIT_WEIGHTS": "",  # checkpoint to start from
        "BACKBONE": {"NAME": "", "PRETRAINED": True},
        "HEAD": {"NAME": "", "HIDDEN_LAYERS": (), "ACTIVATION": "relu", "BN": True, "DROPOUT": 0.0},
    }


def _optim() -> dict:
    return {
        "NAME": "adam",
        "LR": 0.0003,
        "WEIGHT_DECAY": 5e-4,
        "MOMENTUM": 0.9,
        "SGD_DAMPNING": 0,
        "SGD_NESTEROV": False,
        "RMSPROP_ALPHA": 0.99,
        "ADAM_BETA1": 0.9,  # of every Adam variant
        "ADAM_BETA2": 0.999,
        "ADAM_EPS": 1e-8,  # PyTorch's; not in upstream's Dassl
        "CLIP_GRAD_NORM": 0.0,  # largest norm of an optimizer's gradients, 0: not clipped; not in upstream's Dassl
        "STAGED_LR": False,  # layers that NEW_LAYERS does not name get LR * BASE_LR_MULT
        "NEW_LAYERS": (),
        "BASE_LR_MULT": 0.1,
        "LR_SCHEDULER": "single_step",  # or multi_step, cosine
        "STEPSIZE": (-1,),  # epochs; single_step: 0 or below is MAX_EPOCH
        "GAMMA": 0.1,
        "MAX_EPOCH": 10,
        "WARMUP_EPOCH": -1,  # 0 or below: no warm-up
        "WARMUP_TYPE": "linear",  # or constant
        "WARMUP_CONS_LR": 1e-5,  # constant: the rate
        "WARMUP_MIN_LR": 1e-5,  # linear: the rate of the first epoch
        "WARMUP_RECOUNT": True,  # the schedule begins after the warm-up, rather than running during it
    }


def clean_cfg(cfg: CfgNode, trainer: str) -> None:
    """Take the nodes of all trainers but ``trainer`` out of ``cfg``, so that printing it shows what counts."""
    for key in [key for key in cfg.TRAINER if key not in ("NAME", trainer.upper())]:
        del cfg.TRAINER[key]
