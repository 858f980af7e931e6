import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import clip
from clip import simple_tokenizer
from clip.open_clip_module import open_clip_module
from support.user_error import UserError

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests/golden/tokens.json").read_text())


@pytest.fixture(scope="module")
def tokenizer():
    return simple_tokenizer.SimpleTokenizer()


@pytest.mark.parametrize("row", GOLDEN["encodings"], ids=lambda row: ascii(row["text"][:20]))
def test_encoding_and_decoding_equal_openai(tokenizer, row):
    assert tokenizer.encode(row["text"]) == row["ids"]
    assert tokenizer.decode(row["ids"]) == row["decoded"]


def test_vocabulary_equals_openai_at_both_ends(tokenizer):
    assert len(tokenizer.encoder) == len(tokenizer.decoder) == GOLDEN["vocabulary_size"]
    assert list(tokenizer.encoder)[:8] == [tokenizer.decoder[i] for i in range(8)] == GOLDEN["first_entries"]
    assert list(tokenizer.encoder)[-8:] == [tokenizer.decoder[i] for i in range(49400, 49408)] == GOLDEN["last_entries"]
    assert len(tokenizer.bpe_ranks) == 49408 - 512 - 2


def test_tokenize_pads_and_truncates_as_openai():
    truncated = clip.tokenize(GOLDEN["long_text"], truncate=True)
    assert truncated.dtype == torch.int32
    assert truncated.tolist() == [GOLDEN["truncated"]]
    assert clip.tokenize([GOLDEN["short_text"]] * 2, context_length=8).tolist() == [GOLDEN["short"]] * 2


def test_a_text_longer_than_the_context_is_one_clear_line():
    with pytest.raises(RuntimeError, match='text "word number 0 .* has 152 tokens') as raised:
        clip.tokenize(["dog", "word number 0\n" + GOLDEN["long_text"][len("word number 0") :]])
    assert isinstance(raised.value, UserError)
    assert "\n" not in str(raised.value)


def test_importing_clip_does_not_import_the_whole_of_open_clip():
    command = "import sys, clip; print([name for name in ('open_clip', 'timm', 'torchvision') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_falls_back_to_the_ordinary_import_when_open_clip_is_laid_out_differently(monkeypatch, tmp_path):
    find_spec = importlib.util.find_spec

    def moved(name):
        spec = find_spec(name)
        if name == "open_clip":
            spec.submodule_search_locations = [str(tmp_path)]
        return spec

    monkeypatch.setattr(importlib.util, "find_spec", moved)
    assert open_clip_module("tokenizer").__name__ == "open_clip.tokenizer"
