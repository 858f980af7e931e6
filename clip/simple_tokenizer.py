"""OpenAI's byte-pair tokenizer, re-exported from open_clip, which also brings the vocabulary file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import regex


def _load_open_clip_tokenizer() -> ModuleType:
    """open_clip's tokenizer module alone: the whole package imports timm and more, half a second in every process."""
    package = importlib.util.find_spec("open_clip")
    try:
        file = Path(package.submodule_search_locations[0]) / "tokenizer.py"
        spec = importlib.util.spec_from_file_location("clip._open_clip_tokenizer", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except (AttributeError, ImportError, OSError):  # not installed, or laid out differently: import it as usual
        import open_clip.tokenizer

        return open_clip.tokenizer


class SimpleTokenizer(_load_open_clip_tokenizer().SimpleTokenizer):
    """Byte-pair encoding of lower-cased text: `encode`, `decode`, `encoder`, `decoder`, `bpe_ranks` as OpenAI's.

    open_clip renames the two special tokens; here they have OpenAI's names again, which upstream trainers look up.
    """

    def __init__(self) -> None:
        super().__init__()
        pattern = self.pat.pattern
        special = {self.sot_token_id: "<|startoftext|>", self.eot_token_id: "<|endoftext|>"}
        for token, name in special.items():
            renamed = self.decoder[token]
            del self.encoder[renamed], self.cache[renamed]
            self.encoder[name], self.decoder[token], self.cache[name] = token, name, name
            pattern = pattern.replace(renamed, regex.escape(name))
        self.pat = regex.compile(pattern, regex.IGNORECASE)
