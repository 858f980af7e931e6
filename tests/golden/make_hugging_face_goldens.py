"""Write hugging_face.json: features by transformers' own CLIPModel, of the seeded CLIP and fixed inputs.

    pip install --target FOLDER --no-deps transformers tokenizers
    PYTHONPATH=.:FOLDER python tests/golden/make_hugging_face_goldens.py

No tests need transformers: the weights come from `tests.seeded_weights`, and only the features are stored.
"""

import json
import tempfile
from pathlib import Path

import torch
import transformers

import clip
from tests.hugging_face_layout import hugging_face_config, write_hugging_face
from tests.seeded_weights import seeded_images, seeded_state_dict

TEXTS = ["a photo of a dog.", "a photo of a large and very old steam engine, taken at night.", "cat"]
CASES = {
    "quick_gelu": {"both": {"hidden_act": "quick_gelu"}},
    "old_end_token": {"text": {"eos_token_id": 2, "bos_token_id": 0}},
    "gelu": {"both": {"hidden_act": "gelu"}},
    "other_heads": {"text": {"num_attention_heads": 4}, "vision": {"num_attention_heads": 8}},
    "other_epsilon": {"both": {"layer_norm_eps": 0.01}},
}


def features(folder: Path) -> dict[str, list]:
    model, told = transformers.CLIPModel.from_pretrained(folder, output_loading_info=True)
    assert not any(told.values()), told
    model.eval()
    with torch.no_grad():
        image = model.get_image_features(pixel_values=seeded_images("vit", 2))
        text = model.get_text_features(input_ids=clip.tokenize(TEXTS).long())
    return {name: getattr(found, "pooler_output", found).tolist() for name, found in (("image", image), ("text", text))}


def main() -> None:
    state = seeded_state_dict("vit")
    cases = {}
    for name, changes in CASES.items():
        config = hugging_face_config(state, **changes)
        with tempfile.TemporaryDirectory() as folder:
            cases[name] = {"changes": changes, **features(write_hugging_face(Path(folder), state, config))}
    content = {"transformers": transformers.__version__, "texts": TEXTS, "cases": cases}
    (Path(__file__).parent / "hugging_face.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
