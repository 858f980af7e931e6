"""CLIP in OpenAI's layout: module and state-dict names are theirs, prompts are arguments of the encoders.

Reference: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021.

Notation used for shapes:
    B images or texts, L tokens, d model width, h heads, e width of the joint embedding,
    n prompts per layer, C classes.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip.casts import autocast_dtype, cast
from clip.class_text import ClassText, encode_class_text
from clip.layers import LayerNorm, QuickGELU, Transformer, split_heads
from clip.linear import Conv2d
from clip.parts import joined, tokens_at_once
from clip.prompts import UNCHANGED, Prompts, at_layer, deep_in
from support.user_error import ConfigError

HEAD_WIDTH = 64  # of the attention heads of OpenAI's models; `CLIP` takes other numbers of heads


class VisionTransformer(nn.Module):
    """ViT image encoder; the feature is the class token's."""

    def __init__(
        self,
        input_resolution: int,
        patch_size: int,
        width: int,
        layers: int,
        heads: int,
        output_dim: int,
        activation: type[nn.Module] = QuickGELU,
    ):
        super().__init__()
        self.input_resolution = input_resolution
        self.output_dim = output_dim
        self.conv1 = Conv2d(3, width, kernel_size=patch_size, stride=patch_size, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((input_resolution // patch_size) ** 2 + 1, width))
        self.ln_pre = LayerNorm(width)
        self.transformer = Transformer(width, layers, heads, activation=activation)
        self.ln_post = LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, output_dim))

    def forward(self, images: Tensor, prompts: Prompts | None = None) -> Tensor:
        """Encode images.

        Args:
            images: (B, 3, input_resolution, input_resolution), normalised.
            prompts: its visual parts are used.

        Returns:
            (B, output_dim), not normalised.

        Raises:
            ValueError: a layer has another number of deep prompts than of shallow ones.
        """
        return self._project(self._last_layer(images, prompts or Prompts(), wanted=1))

    def with_inserted(self, images: Tensor, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Encode images, and read what the last layer made of ``prompts.visual_inserted``.

        Args:
            images, prompts: as in `forward`.

        Returns:
            (B, output_dim), not normalised; (B, n, d), float32, behind ``ln_post``.
        """
        x = self._last_layer(images, prompts, wanted=1 + prompts.visual_inserted.count)
        return self._project(x), self.ln_post(x[:, 1:].float())

    def _project(self, x: Tensor) -> Tensor:
        """(B, L, d) -> (B, output_dim) from the first token."""
        return self.ln_post(x[:, 0].float()).to(x.dtype) @ cast(self.proj, x.dtype)

    def _last_layer(self, images: Tensor, prompts: Prompts, wanted: int) -> Tensor:
        """Output of the last layer (B, wanted, d), at its first positions."""
        given = 0 if prompts.visual is None else len(prompts.visual)
        for fresh in prompts.visual_deep if prompts.visual_deep is not None else ():
            if fresh is not None and len(fresh) != given:
                raise ValueError(f"{len(fresh)} deep visual prompts were given to replace {given} shallow ones")
        if prompts.visual_inserted is not None:
            prompts.visual_inserted.check(len(self.transformer.resblocks))
        x = self.conv1(images).flatten(2).transpose(1, 2)  # (B, patches, d)
        if autocast_dtype(x.device):
            x = x.float()  # what the layers add up stays in float32
        dtype, batch = x.dtype, x.shape[0]
        x = torch.cat([cast(self.class_embedding, dtype).expand(batch, 1, -1), x], dim=1)  # (B, 1 + patches, d)
        x = x + cast(self.positional_embedding, dtype)
        if prompts.visual is not None:
            x = torch.cat([x, *deep_in(prompts.visual[None], dtype, batch)], dim=1)  # (B, 1 + patches + n, d)
        x = self.ln_pre(x)
        blocks = self.transformer.resblocks
        deep = deep_in(prompts.visual_deep, dtype, batch)
        for i, block in enumerate(blocks):
            layer = at_layer(prompts.visual_layers, i, UNCHANGED)
            fresh = at_layer(deep, i)  # (B, n, d)
            if prompts.visual_inserted is not None:
                x = prompts.visual_inserted.before(i, x)
            if i == len(blocks) - 1:
                x = block.encode(x, layer, wanted=wanted)
            elif fresh is not None:  # the last n positions are about to be replaced
                x = block.encode(x, layer, wanted=x.shape[1] - fresh.shape[1])
                x = torch.cat([x, fresh], dim=1)
            else:
                x = block.encode(x, layer)
        return x


class Bottleneck(nn.Module):
    """ResNet bottleneck whose stride is an average pooling, before the last convolution and in the shortcut."""

    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int = 1):
        super().__init__()
        outplanes = planes * self.expansion
        self.conv1 = Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = Conv2d(planes, outplanes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outplanes)
        self.downsample = None
        if stride > 1 or inplanes != outplanes:
            shortcut = {"0": Conv2d(inplanes, outplanes, 1, bias=False), "1": nn.BatchNorm2d(outplanes)}
            # the pooling holds no tensors and is named so that "0" and "1" stay the checkpoint's names
            self.downsample = nn.Sequential(OrderedDict({"-1": nn.AvgPool2d(stride), **shortcut}))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(self.avgpool(x)))
        return F.relu(x + shortcut)


class AttentionPool2d(nn.Module):
    """Pools a feature map by attention, with the map's mean as the only query."""

    def __init__(self, spacial_dim: int, embed_dim: int, num_heads: int, output_dim: int):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.empty(spacial_dim**2 + 1, embed_dim))
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.c_proj = nn.Linear(embed_dim, output_dim)
        self.num_heads = num_heads

    def forward(self, x: Tensor) -> Tensor:
        """(B, d, H, W) -> (B, output_dim)."""
        x = x.flatten(2).transpose(1, 2)  # (B, HW, d)
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1)  # (B, 1 + HW, d)
        x = x + self.positional_embedding.to(x.dtype)
        projected = (self.q_proj(x[:, :1]), self.k_proj(x), self.v_proj(x))
        heads = (split_heads(part, self.num_heads) for part in projected)
        pooled = F.scaled_dot_product_attention(*heads)  # (B, h, 1, d/h)
        return self.c_proj(pooled.flatten(1))


class ModifiedResNet(nn.Module):
    """CLIP's ResNet: three-convolution stem, anti-aliased strides, attention pooling."""

    def __init__(self, layers: tuple[int, ...], output_dim: int, heads: int, input_resolution: int, width: int):
        super().__init__()
        self.input_resolution = input_resolution
        self.output_dim = output_dim
        self.conv1 = Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.avgpool = nn.AvgPool2d(2)
        inplanes = width
        for stage, blocks in enumerate(layers):
            planes = width * 2**stage
            stride = 1 if stage == 0 else 2
            outplanes = planes * Bottleneck.expansion
            stack = [Bottleneck(inplanes, planes, stride)]
            stack += [Bottleneck(outplanes, planes) for _ in range(1, blocks)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*stack))
            inplanes = outplanes
        self.attnpool = AttentionPool2d(input_resolution // 32, inplanes, heads, output_dim)

    def forward(self, images: Tensor, prompts: Prompts | None = None) -> Tensor:
        """(B, 3, input_resolution, input_resolution) -> (B, output_dim), not normalised.

        Raises:
            ValueError: visual prompts were given; a ResNet has no token sequence to hold them.
        """
        if prompts is not None and prompts.changes_images:
            raise ValueError("visual prompts need a ViT image encoder; this backbone is a ResNet")
        x = images.to(self.conv1.weight.dtype)
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(norm(conv(x)))
        x = self.avgpool(x)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.attnpool(x)


class CLIP(nn.Module):
    """Image and text encoder with a joint embedding. Parameters hold no values until a state dict is loaded.

    ``vision_heads`` are those of the image encoder, or of a ResNet's attention pooling; by default each has
    `HEAD_WIDTH` channels. ``activation`` and ``layer_norm_eps`` are those of both encoders.
    """

    def __init__(
        self,
        embed_dim: int,
        image_resolution: int,
        vision_layers: int | tuple[int, ...],
        vision_width: int,
        vision_patch_size: int | None,
        context_length: int,
        vocab_size: int,
        transformer_width: int,
        transformer_heads: int,
        transformer_layers: int,
        vision_heads: int | None = None,
        activation: type[nn.Module] = QuickGELU,
        layer_norm_eps: float = 1e-5,
    ):
        super().__init__()
        self.context_length = context_length
        self.vocab_size = vocab_size
        if isinstance(vision_layers, tuple):
            heads = vision_heads or vision_width * 32 // HEAD_WIDTH
            self.visual = ModifiedResNet(vision_layers, embed_dim, heads, image_resolution, vision_width)
        else:
            heads = vision_heads or max(1, vision_width // HEAD_WIDTH)
            self.visual = VisionTransformer(
                image_resolution, vision_patch_size, vision_width, vision_layers, heads, embed_dim, activation
            )
        self.transformer = Transformer(transformer_width, transformer_layers, transformer_heads, True, activation)
        # from_pretrained skips the random initialisation, which costs most of a second on the meta device
        self.token_embedding = nn.Embedding.from_pretrained(torch.empty(vocab_size, transformer_width), freeze=False)
        self.positional_embedding = nn.Parameter(torch.empty(context_length, transformer_width))
        self.ln_final = LayerNorm(transformer_width)
        self.text_projection = nn.Parameter(torch.empty(transformer_width, embed_dim))
        self.logit_scale = nn.Parameter(torch.empty([]))
        for module in self.modules():
            if isinstance(module, LayerNorm):
                module.eps = layer_norm_eps

    @property
    def dtype(self) -> torch.dtype:
        """The dtype the encoders compute in."""
        return self.visual.conv1.weight.dtype

    def encode_image(self, images: Tensor, prompts: Prompts | None = None) -> Tensor:
        """(B, 3, H, W) -> (B, e) features, not normalised."""
        if not isinstance(self.visual, VisionTransformer):
            return self.visual(images.to(self.dtype), prompts)
        return joined([self.visual(part, prompts) for part in self._parts(images)])

    def _parts(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images in the encoders' dtype, as many at once as a ViT works on."""
        tokens, width = self.visual.positional_embedding.shape
        at_once = max(1, tokens_at_once(width, self.dtype, images.device) // tokens)
        return images.to(self.dtype).split(at_once)

    def encode_image_and_inserted(self, images: Tensor, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> (B, e) features, not normalised, and what became of ``prompts.visual_inserted``.

        Returns:
            (B, e) features; (B, n, d_v), float32, behind the image encoder's last normalisation.
        """
        pieces = [self.visual.with_inserted(part, prompts) for part in self._parts(images)]
        features, inserted = zip(*pieces, strict=True)
        return joined(list(features)), joined(list(inserted))

    def encode_text(self, text: Tensor | ClassText, prompts: Prompts | None = None, chunk_classes: int = 0) -> Tensor:
        """Encode token ids or class prompts.

        Args:
            text: (B, context_length) token ids, or the prepared token layout of all classes.
            prompts: its text parts are used; context vectors need a `ClassText` with room for them.
            chunk_classes: in training, how many to encode at a time, see `encode_class_text`; 0: all.

        Returns:
            (B, e) or (C, e) features, not normalised; (B, C, e) where ``prompts.text`` differs per image.
        """
        if not isinstance(text, ClassText):
            text = ClassText(text).to(text.device)
        return encode_class_text(self, text, prompts or Prompts(), chunk_classes)

    def forward(self, images: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine logits of every image with every text: (B_image, B_text) and its transpose."""
        image_features = F.normalize(self.encode_image(images), dim=-1)
        text_features = F.normalize(self.encode_text(text), dim=-1)
        logits = self.logit_scale.exp() * image_features @ text_features.t()
        return logits, logits.t()


def architecture(state_dict: dict[str, Tensor]) -> dict:
    """Constructor arguments of `CLIP`, read from the tensors of a checkpoint.

    The activation and the number of heads leave no trace in tensors: they are taken to be those of OpenAI's models.

    Raises:
        KeyError: a tensor that every CLIP has is missing; its argument is the tensor's name.
    """

    def count(prefix: str) -> int:
        depth = prefix.count(".")
        return len({key.split(".")[depth] for key in state_dict if key.startswith(prefix)})

    if "visual.proj" in state_dict or not any(name.startswith("visual.layer1.") for name in state_dict):
        vision_width, _, patch_size, _ = state_dict["visual.conv1.weight"].shape
        grid = round((len(state_dict["visual.positional_embedding"]) - 1) ** 0.5)
        vision_layers, image_resolution = count("visual.transformer.resblocks."), patch_size * grid
    else:
        vision_width, patch_size = state_dict["visual.layer1.0.conv1.weight"].shape[0], None
        grid = round((len(state_dict["visual.attnpool.positional_embedding"]) - 1) ** 0.5)
        vision_layers, image_resolution = tuple(count(f"visual.layer{stage}.") for stage in (1, 2, 3, 4)), grid * 32
    transformer_width = len(state_dict["ln_final.weight"])
    return {
        "embed_dim": state_dict["text_projection"].shape[1],
        "image_resolution": image_resolution,
        "vision_layers": vision_layers,
        "vision_width": vision_width,
        "vision_patch_size": patch_size,
        "context_length": len(state_dict["positional_embedding"]),
        "vocab_size": len(state_dict["token_embedding.weight"]),
        "transformer_width": transformer_width,
        "transformer_heads": max(1, transformer_width // HEAD_WIDTH),
        "transformer_layers": count("transformer.resblocks."),
    }


def convert_weights(model: nn.Module, dtype: torch.dtype = torch.float16) -> None:
    """Cast in place what the encoders multiply with; norms and embeddings keep float32, as OpenAI's do."""

    def cast(module: nn.Module) -> None:
        tensors = []
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            tensors = [module.weight, module.bias]
        elif isinstance(module, nn.MultiheadAttention):
            tensors = [module.in_proj_weight, module.in_proj_bias]
        elif isinstance(module, VisionTransformer):
            tensors = [module.proj]
        elif isinstance(module, CLIP):
            tensors = [module.text_projection]
        for tensor in tensors:
            if tensor is not None:
                tensor.data = tensor.data.to(dtype)

    model.apply(cast)


def check_plain(design_details: dict) -> None:
    """UserError where MaPLe's "design_details" describe another model than CLIP."""
    asked = {key: value for key, value in design_details.items() if value and key != "trainer"}
    if asked:
        shown = ", ".join(f"{key} {value}" for key, value in asked.items())
        raise ConfigError(
            f"this trainer needs the clip of its own release, with prompts inside of the encoders ({shown}): "
            "docs/porting.md says how to bring it here"
        )


def build_model(state_dict: dict[str, Tensor], arguments: dict | None = None) -> CLIP:
    """CLIP with the architecture, weights and precision of a checkpoint, in evaluation mode.

    A float16 checkpoint gives a model that computes in float16, a float32 one in float32; ``.float()`` makes any
    of them float32.

    Args:
        arguments: those of `CLIP`; default: its `architecture`. Trainers written for MaPLe's clip give its
            "design_details" here, which must not ask for prompts inside of CLIP.

    Raises:
        UserError: they do.
        KeyError: ``state_dict`` is not a CLIP's (see `architecture`).
        RuntimeError: further tensors are missing, unknown or of the wrong shape.
    """
    if arguments and "trainer" in arguments:
        check_plain(arguments)
        arguments = None
    sizes = ("input_resolution", "context_length", "vocab_size")  # numbers that OpenAI's archives hold as tensors
    tensors = {key: value for key, value in state_dict.items() if key not in sizes}
    with torch.device("meta"):  # no memory and no random initialisation: every tensor comes from the checkpoint
        model = CLIP(**(arguments or architecture(tensors)))
        convert_weights(model, tensors["visual.conv1.weight"].dtype)
    for key, placeholder in model.state_dict().items():
        if key in tensors:
            tensors[key] = tensors[key].to(placeholder.dtype)
    model.load_state_dict(tensors, assign=True)
    return model.eval()
