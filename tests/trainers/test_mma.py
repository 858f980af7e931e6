"""MMA: logits, losses, gradients, checkpoints and configurations of its released code, and its options."""

import pytest
import torch
import torch.nn.functional as F

import train
from clip import reference
from support.user_error import UserError
from tests.golden_cases import (
    assert_as_released,
    assert_checkpoint_serves_other_classes,
    fill,
    golden,
    images_and_labels,
    seeded,
    tuned_clip,
)
from tests.seeded_weights import seeded_images, seeded_state_dict
from trainers.mma import Adapter, Adapters, adapted_layers, bottleneck, hidden

GOLDEN = golden("mma")
NAMES = GOLDEN["class_names"]


def build(case, class_names=NAMES):
    options = {key: value for key, value in case.items() if key.startswith(("TEXT_CTX_INIT", "ADAPTER_"))}
    return tuned_clip("MMA", class_names, case["dataset"], **options)


def name_of(case):
    return f"{case['ADAPTER_START']}-{case['ADAPTER_END']}, scale {case['ADAPTER_SCALE']}"


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=name_of)
def test_logits_loss_and_gradients_are_the_released_codes(case):
    built = build(case)
    assert set(built.method.state_dict()) == {name.removeprefix("adapter_learner.") for name in case["learned"]}
    assert_as_released(built, case, GOLDEN)


def test_a_released_checkpoint_serves_other_classes(tmp_path):
    case, saved = GOLDEN["cases"][-1], GOLDEN["checkpoint_of_last_case"]
    learned = {name.removeprefix("adapter_learner."): tensor for name, tensor in seeded(case["learned"]).items()}
    of_names = {
        "token_embedding": torch.zeros(9, *saved["tensors"]["token_embedding"][1:]),
        "tokenized_prompts": torch.zeros(9, 77, dtype=torch.long),
    }
    assert saved["registered_as"] in Adapters.released_folders
    assert set(saved["tensors"]) == {*learned, *of_names}
    assert_checkpoint_serves_other_classes(build, {**learned, **of_names}, case, GOLDEN, tmp_path)


def test_it_is_plain_clip_with_a_bottleneck_beside_layers():
    """What flows back to the image and through lower layers is the derivative, whatever the scale."""
    case = GOLDEN["cases"][0]
    built, state = build(case), seeded_state_dict("vit")
    fill(built.method, seeded(case["learned"]))
    images = seeded_images("vit", 2).requires_grad_()
    tensors = built.method.state_dict()

    def plain(i):
        def part(name, x):
            return F.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

        def adapter(x):
            x = part(f"shared_adapter.{i}.0", part(f"visual_adapter.{i}.down.0", x).relu()).relu()
            return case["ADAPTER_SCALE"] * part(f"visual_adapter.{i}.up", x)

        return adapter

    wanted = reference.image_features(state, images, adapters=[plain(i) for i in (1, 2, 3)])
    got = built.clip.encode_image(images, built.method())
    torch.testing.assert_close(got, wanted, rtol=2e-4, atol=2e-5)
    gradients = [torch.autograd.grad(features.square().sum(), images)[0] for features in (got, wanted)]
    assert (gradients[0] - gradients[1]).abs().max() <= 2e-4 * gradients[1].abs().max()


def test_gradients_of_the_weights_do_not_depend_on_the_scale():
    torch.manual_seed(0)
    own, shared, x = bottleneck(6, 4), hidden(4, 4), torch.randn(3, 6)
    gradients = []
    for scale in (1.0, 0.001):
        own.zero_grad()
        x.requires_grad_().grad = None
        Adapter(own, shared, scale)(x).sum().backward()
        gradients.append([own["up"].weight.grad.clone(), own["down"][0].weight.grad.clone(), x.grad / scale])
    for at_one, at_small in zip(*gradients, strict=True):
        assert at_one.abs().max() > 0
        torch.testing.assert_close(at_one, at_small, rtol=1e-4, atol=1e-6)


def test_weights_start_as_the_released_codes_do():
    torch.manual_seed(0)
    own = tuned_clip("MMA", NAMES, ADAPTER_START=1, ADAPTER_DIM=64).method.visual_adapter["1"]
    assert abs(own["up"].weight.std() / (2 / 128) ** 0.5 - 1) < 0.05  # Kaiming's normal by the number of outputs
    assert abs(own["down"][0].weight.std() / (2 / 64) ** 0.5 - 1) < 0.05
    assert own["up"].bias.count_nonzero() == own["down"][0].bias.count_nonzero() == 0


def test_layers_that_an_encoder_lacks_are_left_out_with_a_line(capsys):
    assert [*adapted_layers(Adapters.Config(ADAPTER_START=2), 3)] == [2, 3]
    assert capsys.readouterr().out == "TRAINER.MMADAPTER.ADAPTER_END 12 is more than the 3 layers there are: 3\n"
    assert [*adapted_layers(Adapters.Config(ADAPTER_START=2, ADAPTER_END=2), 3)] == [2]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ADAPTER_START": 4}, "ADAPTER_START is 4.*layers from 1 to 3"),
        ({"ADAPTER_START": 3, "ADAPTER_END": 2}, "ADAPTER_START is 3 and ADAPTER_END 2"),
        ({"ADAPTER_START": 0}, "ADAPTER_START is 0"),
        ({"ADAPTER_DIM": 0}, "ADAPTER_DIM is 0"),
        ({"ADAPTER_SCALE": 0.0}, "ADAPTER_SCALE is 0.0"),
        ({"kind": "resnet"}, "MMADAPTER.*ResNet.*choose a ViT"),
    ],
    ids=str,
)
def test_options_out_of_range_are_told_in_one_line(changed, message):
    with pytest.raises(UserError, match=message) as caught:
        tuned_clip("MMA", NAMES, **changed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_in_any_precision_keeps_float32_adapters(precision):
    case = GOLDEN["cases"][0]
    built = tuned_clip("MMA", NAMES, ADAPTER_START=1, ADAPTER_DIM=8, PREC=precision)
    fill(built.method, seeded(case["learned"]))
    images, labels = images_and_labels(GOLDEN)
    F.cross_entropy(built(images), labels).backward()
    for parameter in built.method.parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32 and parameter.grad.isfinite().all()


@pytest.mark.parametrize(("file", "batch"), [("vit_b16_ep5", 16), ("vit_b16_ep5_imnet", 128)])
def test_configurations_have_the_released_values(file, batch, root):
    cfg = train.setup_cfg(train.parse_args(["--config-file", str(root / f"configs/trainers/MMA/{file}.yaml")]))
    optim = cfg.OPTIM
    assert (optim.NAME, optim.LR, optim.MAX_EPOCH, optim.LR_SCHEDULER) == ("sgd", 0.0015, 5, "cosine")
    assert optim.WARMUP_EPOCH <= 0
    assert cfg.DATALOADER.TRAIN_X.BATCH_SIZE == batch and cfg.MODEL.BACKBONE.NAME == "ViT-B/16"
    assert list(cfg.INPUT.TRANSFORMS) == ["random_resized_crop", "random_flip", "normalize"]
    own = {"ADAPTER_START": 5, "ADAPTER_END": 12, "ADAPTER_DIM": 32, "ADAPTER_SCALE": 0.001}
    assert dict(cfg.TRAINER.MMADAPTER) == {"TEXT_CTX_INIT": "a photo of a", "PREC": "amp", **own}
