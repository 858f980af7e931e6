"""The embedded CLIP: what is shipped, and what it was trained on."""

import hashlib
import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

import clip
from clip.model import architecture
from clip.weights import TINY, load_clip, load_state_dict
from datasets import fashion
from datasets.drawn.description import FONTS, HELD_OUT_FONTS, RandomState, held_out
from datasets.fashion_images import CLASSES as CLASSES_OF_FASHION
from pretraining import captions
from pretraining.tiny_clip import Captioned, attribute_loss, contrastive_loss, new_model, normalise


def test_the_shipped_checkpoint_is_small_complete_and_the_one_its_note_describes():
    content = Path(TINY).read_bytes()
    assert len(content) <= 16 * 2**20
    note = (Path(TINY).parent / "README.md").read_text()
    assert re.search(r"\b[0-9a-f]{64}\b", note)[0] == hashlib.sha256(content).hexdigest()
    found = architecture(load_state_dict("tiny"))
    assert (found["vocab_size"], found["context_length"], found["image_resolution"]) == (49408, 77, 32)
    assert found["vision_layers"] >= 6 and found["transformer_layers"] >= 6


def test_the_script_builds_the_architecture_of_the_shipped_checkpoint():
    built = {name: tuple(tensor.shape) for name, tensor in new_model(49408).state_dict().items()}
    assert built == {name: tuple(tensor.shape) for name, tensor in load_state_dict("tiny").items()}


def test_it_is_a_real_clip_that_tells_colours_and_shapes():
    model = load_clip("tiny").float()
    rows = [Captioned(999, 4, 64)[i] for i in range(4)]
    with torch.no_grad():
        for images, tokens, _, _ in rows:
            logits, _ = model(images, tokens)
            assert (logits.argmax(dim=1) == torch.arange(64)).float().mean() > 0.5  # chance: 1/64


def test_it_names_photographs_of_clothes_though_it_saw_only_drawings():
    model = load_clip("tiny").float()
    with np.load(fashion.STORED, allow_pickle=False) as stored:
        chosen = stored["parts"] == "val"
        pixels, labels = stored["images"][chosen], torch.from_numpy(stored["labels"][chosen]).long()
    images = F.interpolate(torch.from_numpy(pixels)[:, None].float(), size=32, mode="bicubic").clamp(0, 255)
    with torch.no_grad():
        images = normalise(images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1))
        logits, _ = model(images, clip.tokenize([f"a photo of a {name}." for name in CLASSES_OF_FASHION]))
    correct = (logits.argmax(dim=1) == labels).float()
    assert 0.45 < correct.mean() < 0.75
    assert min(correct[labels == label].mean() for label in range(10)) > 0.1  # chance


def test_batches_depend_on_seed_and_step_alone():
    one, again = Captioned(3, 10, 8)[7], Captioned(3, 20, 8)[7]
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0], Captioned(3, 10, 8)[6][0])


def test_pre_training_never_sees_what_is_held_out_and_captions_are_true():
    random = RandomState(0)
    for _ in range(3000):
        what, has = captions.describe(random)
        if what.kind == "shape":
            assert what.sketched or not held_out(what.name, what.colour, what.texture)
        if what.kind == "glyph":
            assert what.font < FONTS - HELD_OUT_FONTS
        text, says = captions.caption(random, what, has)
        for key in captions.ATTRIBUTES:
            assert says[key] in (has[key], captions.UNNAMED)
        if says["colour"] != captions.UNNAMED:
            assert what.colour in text
        assert len(clip.tokenize(text)[0].nonzero()) <= 32


def test_captions_that_are_true_of_another_image_are_no_negatives():
    unnamed = captions.UNNAMED
    attributes = torch.tensor([[0, 1, 2, 0, 0], [0, 5, 2, 0, 0]])  # two circles of different colours
    general = torch.tensor([[0, unnamed, unnamed, unnamed, unnamed]]).expand(2, -1)  # "a circle", twice
    logits = torch.zeros(2, 2)
    assert contrastive_loss(logits, attributes, general) == 0  # nothing to tell apart
    exact = attributes.clone()
    assert abs(contrastive_loss(logits, attributes, exact) - torch.tensor(2.0).log()) < 1e-6


def test_attributes_an_image_does_not_have_are_not_learned_from():
    heads = torch.nn.ModuleDict({key: torch.nn.Linear(4, len(captions.CLASSES[key])) for key in captions.ATTRIBUTES})
    attributes = torch.tensor([[0, 1, 2, captions.UNNAMED, 0], [1, 2, 3, 1, 1]])
    attribute_loss(torch.randn(2, 4), attributes, heads).backward()
    assert all(head.weight.grad.abs().sum() > 0 for head in heads.values())
