"""interpret_prompt.py, with the tiny CLIP and, for one test, a trained CoOp."""

import re

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

import clip
import interpret_prompt
import train
from clip.simple_tokenizer import SimpleTokenizer

LINE = re.compile(r"(\d+): \['(.*)'\] \['(.*)'\]")


@pytest.fixture(scope="module")
def embedding():
    return clip.load("tiny", device="cpu")[0].token_embedding.weight.detach()


@pytest.fixture
def show(tmp_path, capsys):
    """Interpret this content of a checkpoint; returns the lines, or the line of a mistake."""

    def show(content, topk="3", *more, path=None):
        if path is None:
            path = tmp_path / "model.pth.tar-1"
            torch.save(content, path)
        code = interpret_prompt.main([str(path), topk, "--backbone", "tiny", *more])
        out, errors = capsys.readouterr()
        if code:
            assert code == 2 and not out and errors.startswith("error: ") and errors.count("\n") == 1, errors
            return errors
        return out.splitlines()

    return show


def parsed(lines):
    """(place, tokens, distances) of each line of a vector."""
    found = [LINE.fullmatch(line).groups() for line in lines]
    return [(int(place), words.split("', '"), list(map(float, far.split("', '")))) for place, words, far in found]


def test_the_nearest_tokens_are_those_of_scipys_distances(show, embedding):
    context = 0.02 * torch.randn(4, embedding.shape[1], generator=torch.Generator().manual_seed(0))
    header, size, *lines = show({"state_dict": {"ctx": context, "token_prefix": torch.zeros(5, 1, 96)}})
    assert header == "Size of token embedding: (49408, 96)" and size == "Size of context: (4, 96)"
    distances = cdist(context.double().numpy(), embedding.double().numpy())
    decoder = SimpleTokenizer().decoder
    for i, (place, words, far) in enumerate(parsed(lines)):
        nearest = np.argsort(distances[i])[:3]
        assert place == i + 1 and words == [decoder[token] for token in nearest]
        assert far == pytest.approx(distances[i][nearest], abs=1e-4)


def test_a_words_own_embedding_is_nearest_to_itself(show, embedding):
    token = SimpleTokenizer().encoder["photo</w>"]
    lines = show({"prompt_learner.ctx": embedding[[token]].clone(), "image_encoder.x": torch.zeros(2)}, "1")
    assert lines[2:] == ["1: ['photo</w>'] ['0.0000']"]


def test_contexts_of_classes_come_class_by_class(show, embedding):
    ids = [SimpleTokenizer().encoder[f"{word}</w>"] for word in ("red", "cat", "blue", "dog")]
    context = embedding[ids].view(2, 2, -1).clone()
    told = show({"state_dict": {"ctx": context}, "run": {"class_names": ["a cat", "a dog"]}}, "1")[2:]
    assert [told[0], told[3]] == ["a cat:", "a dog:"]
    assert [words for _, words, _ in parsed(told[1:3] + told[4:])] == [
        ["red</w>"],
        ["cat</w>"],
        ["blue</w>"],
        ["dog</w>"],
    ]
    assert show({"state_dict": {"ctx": context}}, "1")[2] == "class 0:"  # a released checkpoint


def test_a_run_of_coop(show, root, tmp_path, capsys):
    arguments = [
        *("--root", str(tmp_path / "data"), "--seed", "1", "--trainer", "CoOp", "--output-dir", str(tmp_path / "run")),
        *("--dataset-config-file", str(root / "configs/datasets/digits.yaml")),
        *("--config-file", str(root / "configs/trainers/CoOp/tiny.yaml")),
        *("DATASET.NUM_SHOTS", "1", "OPTIM.MAX_EPOCH", "1", "TEST.NO_TEST", "True"),
    ]
    assert train.run(arguments) == 0
    by_folder = show(None, path=tmp_path / "run")[-4:]
    assert len(parsed(by_folder)) == 4
    assert show(None, path=tmp_path / "run/prompt_learner/model.pth.tar-1")[-4:] == by_folder
    assert interpret_prompt.main([str(tmp_path / "run"), "3"]) == 0  # the run tells its CLIP
    assert capsys.readouterr().out.splitlines()[-4:] == by_folder


@pytest.mark.parametrize(
    "content, topk, parts",
    [
        ({"other": torch.zeros(2)}, "3", ["model.pth.tar-1 has no learned context ctx", "its tensors are other"]),
        ({"a.ctx": torch.zeros(2, 96), "b.ctx": torch.zeros(2, 96)}, "3", ["no learned context ctx"]),
        ({"ctx": torch.zeros(2, 512)}, "3", ["512 values", "tokens of tiny have 96", "--backbone"]),
        ({"ctx": torch.full((2, 96), torch.nan)}, "3", ["ctx has NaN"]),
        ({"ctx": torch.zeros(2, 96)}, "0", ["topk is 0", "from 1 to 49408"]),
        ([1, 2], "3", ["model.pth.tar-1 is no checkpoint"]),
    ],
)
def test_mistakes_are_one_line(content, topk, parts, show):
    error = show(content, topk)
    for part in parts:
        assert part in error


def test_a_missing_file_and_an_unknown_backbone_are_one_line(show, tmp_path):
    error = show(None, path=tmp_path / "nowhere")
    assert "no checkpoint folder" in error and "correct CHECKPOINT" in error
    assert 'unknown MODEL.BACKBONE.NAME "ViT-B/61" (did you mean "ViT-B/16"?)' in show(
        {"ctx": torch.zeros(2, 96)}, "3", "--backbone", "ViT-B/61"
    )
