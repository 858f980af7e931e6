"""Reads tests/golden/<method>.json: the released codes' numbers, and our methods set up for the same cases."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import clip
import trainers  # noqa: F401  registers the methods
from clip.model import convert_weights
from dassl.engine import TRAINER_REGISTRY
from tests.seeded_weights import seeded_images, seeded_state_dict, seeded_tensor
from trainers.checkpoints import OF_THE_LEARNER, load_folder
from trainers.frozen_clip import HALF_PRECISIONS
from trainers.method import Method, Task
from trainers.tuned_clip import TunedCLIP

# Where the released models keep what is learned; MMRL's projection stands in the image encoder.
LEARNER = re.compile(
    OF_THE_LEARNER.pattern + r"|^(?:adapter|representation)_learner\.|^image_encoder\.(?=proj_rep$|A$|B$)"
)
TOLERANCE = 2e-3  # relative; what is seen is below 1e-4


def golden(method: str) -> dict:
    return json.loads((Path(__file__).parent / "golden" / f"{method}.json").read_text())


def images_and_labels(of: dict) -> tuple[Tensor, Tensor]:
    return seeded_images("vit", of["image_count"], of["image_seed"]), torch.tensor(of["labels"])


def seeded(recipes: dict[str, dict]) -> dict[str, Tensor]:
    """The tensors of a case by the released code's names, without those that the method itself initialises."""
    return {
        name: seeded_tensor(tuple(recipe["shape"]), recipe["seed"], recipe["std"])
        for name, recipe in recipes.items()
        if "seed" in recipe
    }


def tuned_clip(
    name: str,
    class_names: list[str],
    dataset: str = "OxfordPets",
    kind: str = "vit",
    template: str = "",
    images: int = 0,
    **options,
) -> TunedCLIP:
    """The method of the trainer ``name`` on the seeded CLIP, ready to be trained.

    Args:
        kind: of the image encoder, "vit" or "resnet".
        template: the user's own; "": a published one.
        images: number of training images.
        options: keys of the method's configuration; PREC is fp32 by default.
    """
    method_class = TRAINER_REGISTRY.get(name).Method
    config = method_class.Config(**({"PREC": "fp32", **options} if method_class.Config.node else options))
    backbone = clip.build_model(seeded_state_dict(kind)).requires_grad_(False)
    method = method_class(config, Task(class_names, dataset, template, images), backbone)
    method.prepare_losses(backbone)
    if (precision := getattr(config, "PREC", "fp32")) in HALF_PRECISIONS:
        convert_weights(backbone, HALF_PRECISIONS[precision])
    tuned = TunedCLIP(backbone, method).eval()
    method.train()
    return tuned


def loss_and_logits(tuned: TunedCLIP, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What training minimises, and the logits (B, C)."""
    outputs = tuned.outputs(images)
    return sum(tuned.method.losses(outputs, labels).values()), outputs.logits


def load(tuned: TunedCLIP, folder: Path | str, epoch: int | None = None):
    """Load what a run in ``folder`` learned; returns the checkpoint."""
    return load_folder(tuned.method, str(folder), tuned.clip, epoch=epoch)


def released_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """CLIP's tensors under the names that the released models give them; token embeddings are not among them."""
    names = {}
    for name, tensor in state.items():
        if name.startswith("visual."):
            names["image_encoder." + name.removeprefix("visual.")] = tensor
        elif name.startswith(("transformer.", "positional_embedding", "ln_final", "text_projection")):
            names["text_encoder." + name] = tensor
    return names | {"logit_scale": state["logit_scale"]}


def save(state: dict[str, Tensor], folder: Path, epoch: int = 5) -> None:
    """Write a state dict as the checkpoint of an epoch, as Dassl does."""
    folder.mkdir(parents=True)
    checkpoint = {"state_dict": state, "epoch": epoch, "optimizer": None, "scheduler": None, "val_result": None}
    torch.save(checkpoint, folder / f"model.pth.tar-{epoch}")


def fill(method: Method, tensors: dict[str, Tensor]) -> None:
    """Load the released code's tensors into our method; those it has beside them keep their values."""
    tensors = {LEARNER.sub("", name): tensor for name, tensor in tensors.items()}
    method.load_state_dict({**method.state_dict(), **method.convert_state_dict(tensors)})


def assert_close(got: Tensor, wanted) -> None:
    wanted = torch.tensor(wanted)
    assert got.shape == wanted.shape
    assert (got - wanted).abs().max() <= TOLERANCE * wanted.abs().max()


def assert_gradients(
    method: Method, wanted: dict[str, dict | None], ours: Callable[[str], str] = lambda name: name
) -> None:
    """Compare the method's gradients with the released ones, by the released code's names.

    Args:
        wanted: None where the released code has no gradient.
        ours: released name, without the learner's -> ours, where these differ.
    """
    for name, gradient in wanted.items():
        got = _gradient_of(method, name, ours)
        if gradient is None or not gradient["values"]:
            assert got is None or not got.any(), name
            continue
        got = got.flatten()
        picked = got[gradient["indices"]] if "indices" in gradient else got
        scale = max(gradient["norm"], 1e-6)
        assert abs(got.norm().item() - gradient["norm"]) <= TOLERANCE * scale, name
        assert (picked - torch.tensor(gradient["values"])).abs().max() <= TOLERANCE * scale, name


def assert_as_released(tuned: TunedCLIP, case: dict, of: dict, ours: Callable[[str], str] = lambda name: name) -> None:
    """Logits, loss and gradients of a method with a case's tensors are the released code's."""
    fill(tuned.method, seeded(case["learned"]))
    loss, logits = loss_and_logits(tuned, *images_and_labels(of))
    assert_close(logits, case["logits"])
    assert_close(loss, case["loss"])
    loss.backward()
    assert_gradients(tuned.method, case["grads"], ours)


def assert_checkpoint_serves_other_classes(build, state: dict[str, Tensor], case: dict, of: dict, folder: Path) -> None:
    """A method's checkpoint gives the released logits where only the first four classes are tested.

    Args:
        build: (case, class names) -> `TunedCLIP`.
        state: the tensors that the released code saves.
    """
    (folder / "prompt_learner").mkdir()
    torch.save({"state_dict": state, "epoch": 100}, folder / "prompt_learner" / "model.pth.tar-100")
    tuned = build(case, of["class_names"][:4]).eval()
    load(tuned, folder, epoch=100)
    images, _ = images_and_labels(of)
    assert_close(tuned(images), [row[:4] for row in case["logits"]])


def _gradient_of(method: Method, name: str, ours: Callable[[str], str]) -> Tensor | None:
    """The gradient of what the released code calls ``name``: a whole parameter, or one layer of a stacked one."""
    parameters = dict(method.named_parameters())
    own = ours(LEARNER.sub("", name))
    if own in parameters:
        return parameters[own].grad
    if own.endswith("VPT"):
        return parameters["visual_ctx"].grad
    layer = int(own.split("resblocks.")[1].split(".")[0])
    return parameters["visual_deep_ctx" if own.startswith("image") else "deep_ctx"].grad[layer - 1]
