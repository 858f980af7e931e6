"""The words of CLIP's vocabulary nearest to learned context vectors, as CoOp's script of this name shows them.

    python interpret_prompt.py output/.../seed1/prompt_learner/model.pth.tar-50 3
    python interpret_prompt.py CHECKPOINT TOPK --backbone tiny

A line for each vector: its place, the nearest tokens ("</w>" ends a word) and their Euclidean distances. Contexts of
each class (TRAINER.COOP.CSC True) come class by class. A checkpoint is a file, or the folder of a run.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from support import standard_streams
from support.checkpoint_files import find_checkpoint
from support.user_error import CheckpointError, ConfigError, OneLineParser, exit_code, shorten

if TYPE_CHECKING:
    from torch import Tensor


def nearest_tokens(vectors: Tensor, embedding: Tensor, topk: int) -> tuple[Tensor, Tensor]:
    """Distances (n, k) and token ids (n, k) of the nearest rows of ``embedding`` (V, d) to ``vectors`` (n, d).

    In float64, as the difference of two large products is small where a vector is a token's own.
    """
    import torch

    return torch.cdist(vectors.double(), embedding.double()).topk(topk, largest=False)


def read_context(path: str) -> tuple[Tensor, list[str]]:
    """The tensor ``ctx`` of a checkpoint, (n, d) or (C, n, d), and the names of its C classes.

    Raises:
        UserError: there is no such file, it is no checkpoint, or there is no one ``ctx`` in it.
    """
    from trainers.checkpoints import LEARNED, read_checkpoint

    checkpoint = read_checkpoint(find_checkpoint(path, (LEARNED,), epoch=None, flag="CHECKPOINT"))
    found = [tensor for name, tensor in checkpoint.tensors.items() if name.rpartition(".")[2] == "ctx"]
    contexts = [tensor.float() for tensor in found if tensor.dim() in (2, 3)]
    if len(contexts) != 1:
        raise CheckpointError(
            f"{checkpoint.path} has no learned context ctx (its tensors are {shorten(list(checkpoint.tensors), 6)}): "
            "name a checkpoint of CoOp or its like"
        )
    (context,) = contexts
    names, count = checkpoint.class_names or [], len(context) if context.dim() == 3 else 0
    return context, names if len(names) == count else [f"class {number}" for number in range(count)]


def backbone_of(path: str) -> str:
    """Name or path of the CLIP that a run's folder tells, else CoOp's ViT-B/16."""
    from trainers.model_record import RESULTS, read_record

    if not os.path.isfile(os.path.join(path, RESULTS)):
        return "ViT-B/16"
    record = read_record(path)
    return record.backbone_path or record.backbone


def interpret(args: argparse.Namespace) -> int:
    context, class_names = read_context(args.checkpoint)

    import clip
    from clip.simple_tokenizer import SimpleTokenizer

    backbone = args.backbone or backbone_of(args.checkpoint)
    embedding = clip.load(backbone, device="cpu")[0].token_embedding.weight.detach()
    if context.shape[-1] != embedding.shape[1]:
        raise ConfigError(
            f"ctx in {args.checkpoint} has {context.shape[-1]} values a vector, tokens of {backbone} have "
            f"{embedding.shape[1]}: name the backbone that it was trained with, --backbone NAME or PATH"
        )
    if not 1 <= args.topk <= len(embedding):
        raise ConfigError(f"topk is {args.topk}: give a number from 1 to {len(embedding)}, the size of the vocabulary")
    decoder = SimpleTokenizer().decoder
    print(f"Size of token embedding: {tuple(embedding.shape)}\nSize of context: {tuple(context.shape)}")
    for name, vectors in zip(class_names, context, strict=True) if context.dim() == 3 else [("", context)]:
        if name:
            print(f"{name}:")
        distances, tokens = nearest_tokens(vectors, embedding, args.topk)
        for place, (row, ids) in enumerate(zip(distances.tolist(), tokens.tolist(), strict=True), start=1):
            print(f"{place}: {[decoder[token] for token in ids]} {[f'{distance:.4f}' for distance in row]}")
    return 0


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = OneLineParser(prog="interpret_prompt.py", description="Show the words nearest to learned context vectors.")
    parser.add_argument("checkpoint", type=os.path.expanduser, help="file, or folder of a run")
    parser.add_argument("topk", type=int, help="words for each vector")
    parser.add_argument(
        "--backbone",
        type=os.path.expanduser,
        default="",
        metavar="NAME",
        help="CLIP that it was trained with, by name or path (that of the run, where its folder is given; ViT-B/16)",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    return exit_code(lambda: interpret(args))


if __name__ == "__main__":
    sys.exit(standard_streams.run(main))
