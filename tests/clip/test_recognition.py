"""Files that are no CLIP in OpenAI's layout are named for what they are, never by a tensor that they lack."""

import json
import zipfile

import pytest
import torch

from clip import weights
from support.user_error import UserError
from tests.seeded_weights import seeded_state_dict

HUGGING_FACE = (
    "text_model.embeddings.token_embedding.weight text_model.encoder.layers.0.self_attn.q_proj.weight logit_scale "
    "vision_model.embeddings.patch_embedding.weight vision_model.encoder.layers.0.mlp.fc1.weight text_projection.weight"
)
OPEN_CLIP = "visual.conv1.weight visual.class_embedding visual.transformer.resblocks.0.ln_1.weight visual.proj"
TIMM = "cls_token pos_embed patch_embed.proj.weight blocks.0.attn.qkv.weight norm.weight"
LAYOUTS = {
    "transformers' CLIPModel": HUGGING_FACE,
    "transformers' SiglipModel": HUGGING_FACE + " logit_bias vision_model.head.attention.in_proj_weight",
    "transformers' ChineseCLIPModel": "text_model.encoder.layer.0.output.dense.weight vision_model.post_layernorm.bias",
    "transformers' CLIPVisionModel": "vision_model.post_layernorm.bias vision_model.embeddings.class_embedding",
    "transformers' CLIPTextModel": "text_model.final_layer_norm.bias",
    "open_clip's SigLIP": "visual.trunk.patch_embed.proj.weight text.token_embedding.weight logit_scale logit_bias",
    "an image encoder of timm": "visual.trunk.stem.0.weight text.token_embedding.weight logit_scale",
    "an EVA-CLIP": "visual.blocks.0.attn.q_proj.weight text.token_embedding.weight logit_scale",
    "CoCa": OPEN_CLIP + " text.token_embedding.weight text_decoder.resblocks.0.ln_1.weight",
    "a text encoder of Hugging Face": OPEN_CLIP + " text.transformer.embeddings.word_embeddings.weight logit_scale",
    "MODEL.BACKBONE.NAME open_clip:<model>": OPEN_CLIP
    + " text.transformer.resblocks.0.ln_1.weight text.token_embedding.weight text.ln_final.weight logit_scale",
    "a LoRA adapter": "base_model.model.visual.transformer.resblocks.0.attn.lora_A.weight",
    "a model of PEFT": "base_model.model.text_model.q_proj.lora_A.default.weight "
    "base_model.model.text_model.q_proj.base_layer.weight",
    "the image encoder of a CLIP": OPEN_CLIP,
    "the image encoder of a CLIP without": OPEN_CLIP.replace("visual.", ""),
    "the text encoder of a CLIP": "token_embedding.weight ln_final.weight transformer.resblocks.0.ln_1.weight",
    "a ViT of timm or DINO": TIMM,
    "a DINOv2": TIMM + " mask_token blocks.0.ls1.gamma",
    "an MAE": TIMM + " decoder_blocks.0.attn.qkv.weight",
    "transformers' ViT": "vit.embeddings.patch_embeddings.projection.weight vit.encoder.layer.0.output.dense.bias",
    "torchvision's ViT": "class_token conv_proj.weight encoder.layers.encoder_layer_0.ln_1.weight",
    "a ResNet": "conv1.weight bn1.weight layer1.0.conv1.weight fc.weight",
    "a BERT": "bert.embeddings.word_embeddings.weight bert.encoder.layer.0.output.dense.bias",
    "a Stable Diffusion model": "cond_stage_model.transformer.text_model.final_layer_norm.bias",
    "a BLIP": "visual_encoder.cls_token text_decoder.bert.embeddings.word_embeddings.weight",
    "--model-dir": "prompt_learner.ctx image_encoder.conv1.weight text_encoder.ln_final.weight",
    "what a prompt-tuning method learned": "ctx",
}


def refusal(path):
    with pytest.raises(UserError) as caught:
        weights.load_clip(path=str(path))
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and "layer1" not in message
    return message


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
@pytest.mark.parametrize("what", LAYOUTS)
def test_a_state_dict_of_another_layout_is_named(what, prefix, tmp_path):
    torch.save({prefix + name: torch.zeros(2) for name in LAYOUTS[what].split()}, tmp_path / "a.pt")
    assert what in refusal(tmp_path / "a.pt")


def test_a_clip_that_lacks_a_tensor_is_told_which(tmp_path):
    state = seeded_state_dict("vit")
    for name in ("visual.proj", "logit_scale", "visual.transformer.resblocks.1.ln_2.weight"):
        torch.save({key: value for key, value in state.items() if key != name}, tmp_path / "a.pt")
        assert name in refusal(tmp_path / "a.pt")


def test_student_and_teacher_of_dino_are_named(tmp_path):
    networks = {name: {f"backbone.{key}": torch.zeros(2) for key in TIMM.split()} for name in ("student", "teacher")}
    torch.save({**networks, "epoch": 3}, tmp_path / "a.pt")
    assert "a DINO, a ViT without a text encoder" in refusal(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        ("a.pt", b"<!DOCTYPE html><html>", "a web page"),
        ("a.json", json.dumps({"architectures": ["CLIPModel"]}).encode(), 'a configuration (["CLIPModel"])'),
        (
            "a.index.json",
            b'{"weight_map": {"a": "model-00001-of-00002.safetensors"}}',
            "names model-00001-of-00002",
        ),
        ("b.index.json", b'{"weight_map": {"a": "../b.safetensors"}}', "does not name the files"),
        ("a.h5", b"\x89HDF\r\n", "HDF5"),
        ("a.gguf", b"GGUF", "GGUF"),
        ("a.pt.gz", b"\x1f\x8b", "gzip"),
        ("model.onnx", b"\x08\x07", "ONNX"),
    ],
)
def test_a_file_of_another_kind_is_named(name, content, what, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert what in refusal(tmp_path / name)


def test_archives_of_other_things_are_named(tmp_path):
    for name, inside, what in (("a.npz", "arr.npy", "NumPy"), ("a.zip", "clip/readme.md", "a zip archive of clip/")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(inside, b"")
        assert what in refusal(tmp_path / name)


def test_one_file_of_several_is_named(tmp_path):
    state = dict(list(seeded_state_dict("vit").items())[:10])
    torch.save(state, tmp_path / "pytorch_model-00001-of-00003.bin")
    assert "one of 3 files" in refusal(tmp_path / "pytorch_model-00001-of-00003.bin")


def test_a_folder_of_hugging_face_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    torch.save({name: torch.zeros(2) for name in HUGGING_FACE.split()}, tmp_path / "pytorch_model.bin")
    assert "transformers' CLIPModel" in refusal(tmp_path)
