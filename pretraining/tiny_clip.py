"""Train the embedded tiny CLIP from scratch on drawn image-caption pairs: `python -m pretraining.tiny_clip OUTPUT`.

The images are those of `datasets.drawn`, drawn afresh at every step from a seed. Two things make so small a model
learn in minutes: a classification loss on the attributes of each picture (its heads are thrown away), and Muon for
the matrices of the transformer layers. Captions that are true of another image of the batch are no negatives of it.
"""

from __future__ import annotations

import argparse
import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import clip
from clip.model import CLIP
from clip.weights import PIXEL_MEAN, PIXEL_STD
from datasets.drawn.description import Deformation, Degradation, RandomState
from datasets.drawn.draw import draw
from pretraining.captions import ATTRIBUTES, CLASSES, UNNAMED, caption, describe

VOCABULARY = 49408
LIGHT = Deformation(), Degradation(blur=0.4)
STRONG = (
    Deformation(rotation=16, shear=0.25, shift=0.2, stretch=0.2, wobble=0.08, weight=0.3),
    Degradation(noise=0.08, blur=1.0, cast=0.25, contrast=0.4, coarse=0.3),
)


class Captioned(Dataset):
    """Batches of drawn images with captions; item i depends on nothing but the seed and i."""

    def __init__(self, seed: int, steps: int, batch: int):
        self.seed, self.steps, self.batch = seed, steps, batch

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images (B, 3, 32, 32), token ids (B, 77), attributes and those named by the captions (B, attributes)."""
        rng = RandomState((self.seed * 1_000_003 + step) % 2**32)
        images, captions, attributes, named = [], [], [], []
        for _ in range(self.batch):
            what, has = describe(rng)
            text, says = caption(rng, what, has)
            images.append(torch.from_numpy(draw(rng, what, *(LIGHT if rng.uniform() < 0.5 else STRONG))))
            captions.append(text)
            attributes.append([has[key] for key in ATTRIBUTES])
            named.append([says[key] for key in ATTRIBUTES])
        return normalise(torch.stack(images)), clip.tokenize(captions), torch.tensor(attributes), torch.tensor(named)


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) as the image encoder takes them."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    return (images.permute(0, 3, 1, 2) / 255 - mean) / std


def new_model(vocab_size: int) -> CLIP:
    """The tiny architecture with fresh weights, scaled as OpenAI's initialisation."""
    model = CLIP(
        embed_dim=128,
        image_resolution=32,
        vision_layers=6,
        vision_width=128,
        vision_patch_size=8,
        context_length=77,
        vocab_size=vocab_size,
        transformer_width=96,
        transformer_heads=1,
        transformer_layers=6,
    )
    for stack in (model.visual.transformer, model.transformer):
        for block in stack.resblocks:
            width, depth = stack.width, 2 * stack.layers
            nn.init.normal_(block.attn.in_proj_weight, std=width**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=(width * depth) ** -0.5)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=(width * depth) ** -0.5)
    visual = model.visual
    for tensor in (visual.class_embedding, visual.positional_embedding, visual.proj):
        nn.init.normal_(tensor, std=128**-0.5)
    nn.init.normal_(model.token_embedding.weight, std=0.02)
    nn.init.normal_(model.positional_embedding, std=0.01)
    nn.init.normal_(model.text_projection, std=96**-0.5)
    nn.init.constant_(model.logit_scale, math.log(1 / 0.07))
    return model


def contrastive_loss(logits: Tensor, attributes: Tensor, named: Tensor) -> Tensor:
    """Symmetric cross-entropy in which captions that are true of an image are not its negatives.

    Args:
        logits: (B, B), images by captions.
        attributes, named: (B, attributes), what images show and what captions say.
    """
    holds = (named[None] == attributes[:, None]) | (named[None] == UNNAMED)  # (B image, B caption, attributes)
    also_true = holds.all(-1) & ~torch.eye(len(logits), dtype=torch.bool)
    logits = logits.masked_fill(also_true, float("-inf"))
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels)) / 2


def attribute_loss(features: Tensor, attributes: Tensor, heads: nn.ModuleDict) -> Tensor:
    """Mean cross-entropy of the linear attribute heads over the attributes an image has."""
    losses = [
        F.cross_entropy(heads[key](features), attributes[:, i], ignore_index=UNNAMED)
        for i, key in enumerate(ATTRIBUTES)
    ]
    return torch.stack(losses).mean()


def train(output: str, seed: int, steps: int, batch: int, learning_rate: float) -> None:
    """Train and write a float16 state dict to ``output``, also every 1,000 steps."""
    torch.manual_seed(seed)
    # Only the tokens that captions use are trained, under consecutive ids in the same order: EOT stays the largest.
    sample = Captioned(seed + 1, 40, 256)
    used = torch.cat([sample[i][1].flatten() for i in range(len(sample))]).unique().long()
    model = new_model(len(used))
    words = torch.randn(VOCABULARY, 96) * 0.02
    heads = nn.ModuleDict({key: nn.Linear(128, len(CLASSES[key])) for key in ATTRIBUTES})
    matrices = [p for name, p in model.named_parameters() if "resblocks" in name and p.dim() == 2]
    chosen = {id(p) for p in matrices}
    others = [p for p in (*model.parameters(), *heads.parameters()) if id(p) not in chosen]
    optimizers = [
        torch.optim.Muon(matrices, lr=learning_rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=learning_rate, weight_decay=0.0, betas=(0.9, 0.98)),
    ]
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(o, learning_rate, steps, pct_start=0.05, cycle_momentum=False)
        for o in optimizers
    ]
    loader = DataLoader(Captioned(seed, steps, batch), batch_size=None, num_workers=1, prefetch_factor=4)
    started = time.time()
    for step, (images, tokens, attributes, named) in enumerate(loader):
        image_features = model.encode_image(images)
        text_features = model.encode_text(torch.searchsorted(used, tokens.long()))
        cosines = F.normalize(image_features, dim=-1) @ F.normalize(text_features, dim=-1).t()
        contrast = contrastive_loss(model.logit_scale.clamp(max=math.log(100)).exp() * cosines, attributes, named)
        attribute = attribute_loss(image_features, attributes, heads)
        for optimizer in optimizers:
            optimizer.zero_grad()
        (contrast + attribute).backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        if step % 50 == 0 or step == steps - 1:
            print(
                f"step {step}/{steps} contrast {contrast.item():.3f} attributes {attribute.item():.3f} "
                f"scale {model.logit_scale.exp().item():.1f} {time.time() - started:.0f} s",
                flush=True,
            )
        if step % 1000 == 999 or step == steps - 1:
            state = dict(model.state_dict())
            state["token_embedding.weight"] = words.index_copy(0, used, state["token_embedding.weight"])
            state["logit_scale"] = state["logit_scale"].clamp(max=math.log(100))
            torch.save({key: value.half() for key, value in state.items()}, output)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the embedded tiny CLIP from scratch.")
    parser.add_argument("output", help="where to write the state dict")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    args = parser.parse_args()
    train(args.output, args.seed, args.steps, args.batch, args.learning_rate)


if __name__ == "__main__":
    main()
