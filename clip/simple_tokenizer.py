"""OpenAI's byte-pair tokenizer, re-exported from open_clip, which also brings the vocabulary file."""

from __future__ import annotations

import regex

from clip.open_clip_module import open_clip_module


class SimpleTokenizer(open_clip_module("tokenizer").SimpleTokenizer):
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
