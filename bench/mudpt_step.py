"""One MuDPT training step at ViT-B/16 against the plain 77-token pass: `python -m bench.mudpt_step [--classes 100]`.

Both sides get the same weights, images, labels, threads and precision (float32). The reference computes the prompts
with the same learner, then encodes every class padded to 77 tokens, as the released codes do (`bench.plain_clip`).
Weights are random: no download is needed and the work is the same.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor
from yacs.config import CfgNode

import clip
from bench import plain_clip
from clip.model import CLIP
from clip.open_clip_module import open_clip_module
from trainers import mudpt
from trainers.prompt_trainer import PromptedCLIP

VIT_B16 = {
    "embed_dim": 512,
    "image_resolution": 224,
    "vision_layers": 12,
    "vision_width": 768,
    "vision_patch_size": 16,
    "context_length": 77,
    "vocab_size": 49408,
    "transformer_width": 512,
    "transformer_heads": 8,
    "transformer_layers": 12,
}


def random_vit_b16(seed: int = 0) -> dict[str, Tensor]:
    """A float32 state dict of ViT-B/16's shapes with weights that keep activations of ordinary size."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in CLIP(**VIT_B16).state_dict().items()}
    state = {}
    for name, shape in shapes.items():
        normal = torch.randn(shape, generator=generator)
        if "ln_" in name and name.endswith("weight"):
            state[name] = torch.ones(shape)
        elif name == "logit_scale":
            state[name] = torch.tensor(100.0).log()
        else:
            state[name] = normal * (0.02 if "embedding" in name or len(shape) < 2 else shape[-1] ** -0.5)
    return state


class PlainStep:
    """The reference: every class padded to 77 tokens."""

    def __init__(self, state: dict[str, Tensor], learner: mudpt.PromptLearner, class_names: list[str]):
        self.state, self.learner = state, learner
        self.n = len(learner.ctx)
        tokens = clip.tokenize([" ".join(["X"] * self.n) + f" {name}." for name in class_names]).long()
        self.eot = tokens.argmax(-1)
        self.embedded = state["token_embedding.weight"][tokens]  # (C, 77, d_t)

    def __call__(self, images: Tensor) -> Tensor:
        prompts = self.learner()
        context = prompts.text.expand(len(self.embedded), -1, -1)
        embedded = torch.cat([self.embedded[:, :1], context, self.embedded[:, 1 + self.n :]], dim=1)
        text = plain_clip.text_features(self.state, embedded, self.eot, prompts.text_deep)
        image = plain_clip.image_features(self.state, images, prompts.visual, prompts.visual_deep)
        return plain_clip.logits(self.state, image, text)


def step(model, learner: torch.nn.Module, images: Tensor, labels: Tensor) -> tuple[float, Tensor, Tensor]:
    """Seconds of one forward and backward pass, the logits, and all gradients as one vector."""
    learner.zero_grad()
    started = time.perf_counter()
    logits = model(images)
    F.cross_entropy(logits, labels).backward()
    seconds = time.perf_counter() - started
    return seconds, logits.detach(), torch.cat([p.grad.flatten() for p in learner.parameters()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=3, help="repetitions of (reference, ours)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    class_names = (open_clip_module("zero_shot_metadata").IMAGENET_CLASSNAMES * (1 + args.classes // 1000))[
        : args.classes
    ]
    state = random_vit_b16()
    backbone = clip.build_model(dict(state)).requires_grad_(False)
    learner = mudpt.PromptLearner(CfgNode(mudpt.MuDPT.config_defaults), class_names, backbone).train()
    ours, plain = PromptedCLIP(backbone, learner), PlainStep(state, learner, class_names)
    images, labels = torch.randn(args.batch, 3, 224, 224), torch.arange(args.batch) % args.classes

    step(ours, learner, images, labels)  # warm-up
    pairs, memory = [], 0
    for _ in range(args.pairs):
        our_seconds, our_logits, our_gradients = step(ours, learner, images, labels)
        memory = memory or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        plain_seconds, plain_logits, plain_gradients = step(plain, learner, images, labels)
        pairs.append((plain_seconds, our_seconds))
    difference = ((our_logits - plain_logits).abs().max() / plain_logits.abs().max()).item()
    difference_of_gradients = ((our_gradients - plain_gradients).norm() / plain_gradients.norm()).item()
    rows = [
        ["plain 77-token pass, s", statistics.median(a for a, _ in pairs)],
        ["this project, s", statistics.median(b for _, b in pairs)],
        ["ratio (median of pairs)", statistics.median(a / b for a, b in pairs)],
        ["peak memory, plain, GiB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20],
        ["peak memory, this project, GiB", memory],
        ["largest difference of a logit, relative", difference],
        ["difference of the gradients, relative norm", difference_of_gradients],
    ]
    print(
        f"MuDPT step, ViT-B/16, {args.classes} classes, batch {args.batch}, float32, {args.threads} thread(s), "
        f"torch {torch.__version__}, {platform.machine()}"
    )
    print(tabulate(rows, floatfmt=".3g"))


if __name__ == "__main__":
    main()
