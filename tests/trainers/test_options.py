"""Numbers out of their range are told in one line before any data is read."""

import math

import pytest

import trainers  # noqa: F401  registers the methods
from dassl.engine import TRAINER_REGISTRY
from support.user_error import UserError


def check(trainer, **options):
    TRAINER_REGISTRY.get(trainer).Method.Config(**options)


@pytest.mark.parametrize(
    ("trainer", "key", "value"),
    [
        *(("CLIP_Adapter", "REDUCTION", value) for value in (0, -4)),
        *(("CLIP_Adapter", "RATIO", value) for value in (-0.1, 1.1, math.nan)),
        *(("CLIP_LoRA", "ALPHA", value) for value in (0, -1)),
        ("CLIP_LoRA", "N_ITERS", -1),
        *(("KgCoOp", "W", value) for value in (-8.0, math.nan, math.inf)),
        ("TCP", "W", -8.0),
        *(("MMA", "ADAPTER_SCALE", value) for value in (0.0, math.nan)),
        *(("MMRL", "ALPHA", value) for value in (-0.1, 1.1)),
        *(("MMRL", "REP_LAYERS", value) for value in ([0, 1], [2, 2], [3, 2], ["1"])),
        *(("ProGrad", "T", value) for value in (0.0, math.nan)),
        ("ProGrad", "LAMBDA", -1.0),
        *(("PromptSRC", f"{part}_LOSS_WEIGHT", -1.0) for part in ("TEXT", "IMAGE")),
        *(("MuDPT", f"{part}_LOSS_WEIGHT", math.nan) for part in ("TEXT", "IMAGE", "LOGITS")),
        *(("TipAdapterF", key, -1.0) for key in ("INIT_ALPHA", "INIT_BETA")),
        ("TipAdapterF", "AUGMENT_EPOCH", 0),
        *(("GDA", *pair) for pair in (("VIEWS", 0), ("ALPHA", -1.0), ("ALPHA", math.inf))),
        *(("CLAP", *pair) for pair in (("VIEWS", 0), ("CONSTRAINT", "l3"))),
        *(("TaskRes", *pair) for pair in (("VIEWS", -1), ("RESIDUAL_SCALE", -0.5))),
        ("CrossModal", "VIEWS", -1),
        *(("TipAdapterF", "SEARCH_SCALE", value) for value in ([7], ["a", "b"], [7.0, 0.1], [math.inf, 3.0])),
        *(("TipAdapterF", "SEARCH_STEP", value) for value in ([200], [], [200, 0], [2.5, 3])),
    ],
)
def test_a_number_out_of_its_range_is_told_in_one_line(trainer, key, value):
    node = TRAINER_REGISTRY.get(trainer).Method.Config.node
    with pytest.raises(UserError) as caught:
        check(trainer, **{key: value})
    shown = f'"{value}"' if isinstance(value, str) else value
    assert str(caught.value).startswith(f"TRAINER.{node}.{key} is {shown}")


@pytest.mark.parametrize(
    ("trainer", "options"),
    [
        ("CLIP_Adapter", {"REDUCTION": 1, "RATIO": 0.0}),
        ("CLIP_Adapter", {"RATIO": 1.0}),
        ("KgCoOp", {"W": 0.0}),
        ("TaskRes", {"VIEWS": 0, "RESIDUAL_SCALE": 0.0}),
        ("TipAdapterF", {"SEARCH_SCALE": [7, 3.0], "SEARCH_STEP": [1, 1], "INIT_BETA": 0.0}),
    ],
)
def test_the_ends_of_a_range_are_in_it(trainer, options):
    check(trainer, **options)


def test_every_trainers_defaults_are_in_their_ranges():
    for name in TRAINER_REGISTRY.registered_names():
        if hasattr(TRAINER_REGISTRY.get(name), "Method"):
            check(name)
