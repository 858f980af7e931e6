"""CLIPModels of transformers: in a folder, by their name on the Hub; features against transformers' own."""

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants

import clip
from clip import weights
from support.user_error import UserError
from tests.hugging_face_layout import hugging_face_config, hugging_face_tensors, write_hugging_face
from tests.seeded_weights import seeded_images, seeded_state_dict

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "hugging_face.json").read_text())
FILES = [f"{stem}{end}" for stem in ("model.safetensors", "pytorch_model.bin") for end in ("", ".index.json")]


@pytest.fixture(scope="module")
def state():
    return seeded_state_dict("vit")


def failure(name="", path=""):
    """The message that loading ends with, after checking that it is one line."""
    with pytest.raises(UserError) as raised:
        weights.load_clip(name, str(path))
    assert "\n" not in str(raised.value)
    return str(raised.value)


# Features --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_features_are_those_of_transformers(case, state, tmp_path):
    golden = GOLDEN["cases"][case]
    folder = write_hugging_face(tmp_path / "a", state, hugging_face_config(state, **golden["changes"]))
    model = weights.load_clip(path=str(folder))
    with torch.no_grad():
        image, text = model.encode_image(seeded_images("vit", 2)), model.encode_text(clip.tokenize(GOLDEN["texts"]))
    torch.testing.assert_close(image, torch.tensor(golden["image"]), rtol=0, atol=1e-5)
    torch.testing.assert_close(text, torch.tensor(golden["text"]), rtol=0, atol=1e-5)


def test_the_cases_tell_what_is_read_from_the_configuration():
    usual = torch.tensor(GOLDEN["cases"]["quick_gelu"]["image"])
    for name in ("gelu", "other_heads", "other_epsilon"):
        assert (torch.tensor(GOLDEN["cases"][name]["image"]) - usual).abs().max() > 1e-3


@pytest.mark.parametrize("file", FILES)
def test_the_embedded_clip_in_this_layout_gives_its_own_features(file, tmp_path):
    own = weights.load_state_dict("tiny")
    folder = write_hugging_face(tmp_path / "a", own, hugging_face_config(own), file)
    loaded = weights.load_state_dict("ViT-B/16", str(folder))
    assert loaded.keys() == own.keys()
    assert all(torch.equal(loaded[name], value) and loaded[name].dtype == value.dtype for name, value in own.items())
    images, texts = seeded_images("vit", 2), clip.tokenize(GOLDEN["texts"])
    ours, theirs = weights.load_clip("tiny").float(), weights.load_clip(path=str(folder / file)).float()
    with torch.no_grad():
        assert torch.equal(ours.encode_image(images), theirs.encode_image(images))
        assert torch.equal(ours.encode_text(texts), theirs.encode_text(texts))


def test_old_files_with_position_ids_and_a_second_configuration_load(state, tmp_path):
    config = hugging_face_config(state) | {"text_config_dict": {"hidden_act": "gelu"}}
    config |= {"vision_config_dict": {"hidden_act": "gelu"}}
    folder = write_hugging_face(tmp_path / "a", state, config, "pytorch_model.bin")
    ids = {f"{tower}_model.embeddings.position_ids": torch.arange(77)[None] for tower in ("text", "vision")}
    torch.save(hugging_face_tensors(state) | ids, folder / "pytorch_model.bin")
    found = weights.find(path=str(folder))
    assert found.tensors.keys() == state.keys() and found.arguments["activation"] is torch.nn.GELU


def test_a_folder_with_the_layout_of_open_clip_as_well_is_read_by_its_configuration(state, tmp_path):
    folder = write_hugging_face(tmp_path / "a", state, hugging_face_config(state, {"hidden_act": "gelu"}))
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    assert weights.find(path=str(folder)).arguments["activation"] is torch.nn.GELU


def test_a_file_in_openais_layout_beside_a_configuration_is_read_as_such(state, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(hugging_face_config(state)))
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert weights.find(path=str(tmp_path)).arguments is None


# Normalisation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "wrapped"), [("preprocessor_config.json", False), ("processor_config.json", True), ("", False)]
)
def test_images_are_normalised_as_the_preprocessor_says(file, wrapped, state, tmp_path, capsys):
    folder = write_hugging_face(tmp_path / "a", state, hugging_face_config(state))
    mean, std = weights.PIXEL_MEAN, weights.PIXEL_STD
    if file:
        mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
        content = {"image_mean": mean, "image_std": std}
        (folder / file).write_text(json.dumps({"image_processor": content} if wrapped else content))
    found = weights.find(path=str(folder))
    assert (found.mean, found.std) == (mean, std) == weights.normalization("tiny", str(folder))
    _, preprocess = clip.load(str(folder), device="cpu")
    assert (tuple(preprocess.transforms[-1].mean), tuple(preprocess.transforms[-1].std)) == (mean, std)
    weights.report_normalization("tiny", weights.PIXEL_MEAN, weights.PIXEL_STD, str(folder))
    assert capsys.readouterr().out.count('set INPUT.PIXEL_MEAN "[0.5, 0.4, 0.3]"') == bool(file)


# Mistakes --------------------------------------------------------------------------------------------------------


def change(folder, **entries):
    config = json.loads((folder / "config.json").read_text())
    for name, entry in entries.items():
        config[name] = config[name] | entry if isinstance(entry, dict) and name in config else entry
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"model_type": "siglip"}, 'model_type "siglip"'),
        ({"model_type": "chinese_clip"}, 'model_type "chinese_clip"'),
        ({"model_type": "clipseg"}, 'model_type "clipseg"'),
        (
            {"text_config": {"hidden_act": "gelu"}},
            "hidden_act is 'gelu' in text_config and 'quick_gelu' in",
        ),
        (
            {"text_config": {"hidden_act": "relu"}, "vision_config": {"hidden_act": "relu"}},
            "text_config.hidden_act is 'relu', not quick_gelu or gelu",
        ),
        ({"text_config": {"layer_norm_eps": 1e-6}}, "layer_norm_eps is 1e-06 in text_config"),
        ({"text_config": {"eos_token_id": 5}}, "text_config.eos_token_id is 5, not 49407 or 2"),
        ({"text_config": {"vocab_size": 50000}}, "text_config.vocab_size is 50000"),
        ({"text_config": {"num_hidden_layers": 4}}, "its transformer_layers is 3, not 4; take both from one model"),
        ({"vision_config": {"num_attention_heads": 3}}, "no multiple of num_attention_heads"),
        ({"vision_config": {"image_size": [32, 32]}}, "vision_config.image_size is [32, 32]"),
        ({"vision_config": {"patch_size": 0}}, "vision_config.patch_size is 0"),
        ({"vision_config": {"intermediate_size": 100}}, "vision_config.intermediate_size is 100, not 512"),
        ({"vision_config": None, "projection_dim": 7}, "config.json"),
        ({"text_config": "small"}, "text_config is 'small'"),
    ],
)
def test_a_configuration_of_another_model_is_told(entries, told, state, tmp_path):
    folder = write_hugging_face(tmp_path / "a", state, hugging_face_config(state))
    change(folder, **entries)
    message = failure(path=folder)
    assert str(folder) in message and told in message


def test_a_folder_that_lacks_a_file_is_told(state, tmp_path):
    folder = write_hugging_face(tmp_path / "a", state, hugging_face_config(state))
    config = (folder / "config.json").read_text()
    (folder / "config.json").unlink()
    assert "put its config.json, which says how to read it, beside it" in failure(path=folder)
    (folder / "model.safetensors").unlink()
    assert f"{folder} is a folder without a checkpoint" in failure(path=folder)
    (folder / "config.json").write_text(config)
    assert f"{folder} is a folder without a checkpoint" in failure(path=folder)


@pytest.mark.parametrize("file", FILES)
def test_a_truncated_file_is_told(file, state, tmp_path):
    folder = write_hugging_face(tmp_path / "a", state, hugging_face_config(state), file)
    for path in folder.glob("*model*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert str(folder) in failure(path=folder)


def test_damaged_json_is_told(state, tmp_path):
    folder = write_hugging_face(tmp_path / "a", state, hugging_face_config(state))
    (folder / "preprocessor_config.json").write_text('{"image_mean": [1, 2]}')
    assert "three numbers for image_mean" in failure(path=folder)
    for content in (b"{", b"[]", b"\xff"):
        (folder / "config.json").write_bytes(content)
        assert f"{folder}/config.json is damaged" in failure(path=folder)


@pytest.mark.parametrize(
    "lost",
    ["logit_scale", "text_projection.weight", "vision_model.encoder.layers.1.self_attn.k_proj.bias"],
)
def test_a_missing_tensor_is_told(lost, state, tmp_path):
    folder = write_hugging_face(tmp_path / "a", state, hugging_face_config(state), "pytorch_model.bin")
    tensors = hugging_face_tensors(state)
    del tensors[lost]
    torch.save(tensors, folder / "pytorch_model.bin")
    assert str(folder) in failure(path=folder)


def test_an_index_without_one_of_its_files_is_told(state, tmp_path):
    folder = write_hugging_face(tmp_path / "a", state, hugging_face_config(state), FILES[1])
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "names model-00002-of-00002.safetensors, which is not beside it" in failure(path=folder)


# The Hub ---------------------------------------------------------------------------------------------------------


class Hub(ThreadingHTTPServer):
    """A web server that answers as the Hugging Face Hub, for the files in `files` {"owner/model/file": content}.

    Attributes:
        token: that has to be given, if any.
        promised: {name: hash} where another than the right one is told.
        requests: (method, "owner/model/file") of all requests so far.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files, self.token, self.promised, self.requests = {}, "", {}, []


class HubHandler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub, name = self.server, self.path.strip("/").replace("/resolve/main/", "/", 1)
        hub.requests.append((self.command, name))
        model = name.rpartition("/")[0]
        known = any(file.startswith(f"{model}/") for file in hub.files)
        if not known or (hub.token and self.headers["Authorization"] != f"Bearer {hub.token}"):
            self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif name not in hub.files:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            content = hub.files[name]
            self.answer(200, content, {"ETag": f'"{hub.promised.get(name, hashlib.sha256(content).hexdigest())}"'})

    def answer(self, status, content, headers):
        self.send_response(status)
        for key, value in {"X-Repo-Commit": "0" * 40, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path, state):
    """The Hub, with someone/clip on it; whatever huggingface_hub asks goes there, and its cache is empty."""
    folder = write_hugging_face(tmp_path / "published", state, hugging_face_config(state))
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
    with Hub() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        server.files = {f"someone/clip/{path.name}": path.read_bytes() for path in folder.iterdir()}
        server.files |= {f"someone/clip/{name}": b"" for name in ("README.md", "tf_model.h5", "flax_model.msgpack")}
        point_to(f"http://127.0.0.1:{server.server_port}", monkeypatch, tmp_path)
        yield server
        server.shutdown()


def point_to(endpoint, monkeypatch, tmp_path):
    """As HF_ENDPOINT and HF_HUB_CACHE do when huggingface_hub is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    for name in ("HF_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    huggingface_hub.close_session()


def test_a_name_of_the_hub_is_fetched_once_and_no_more_of_it_than_is_read(hub, state, capsys):
    model = weights.load_clip(" HF:someone/clip ")
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    fetched = {name.rpartition("/")[2] for method, name in hub.requests if method == "GET" and "clip" in name}
    assert fetched == {"config.json", "model.safetensors", "preprocessor_config.json"}
    hub.requests.clear()
    weights.load_clip("hf:someone/clip")
    weights.report_normalization("hf:someone/clip", *[[0.5] * 3] * 2)
    assert capsys.readouterr().out == "" and not hub.requests
    weights.report_normalization("hf:someone/clip", weights.PIXEL_MEAN, weights.PIXEL_STD)
    assert 'set INPUT.PIXEL_MEAN "[0.5, 0.5, 0.5]"' in capsys.readouterr().out


@pytest.mark.parametrize("file", FILES[1:])
def test_other_files_of_weights_are_fetched_where_there_is_no_safetensors(file, hub, state, tmp_path):
    folder = write_hugging_face(tmp_path / "other", state, hugging_face_config(state), file)
    hub.files = {f"someone/clip/{path.name}": path.read_bytes() for path in folder.iterdir()}
    assert weights.load_state_dict("hf:someone/clip").keys() == state.keys()
    hub.requests.clear()
    assert weights.load_state_dict("hf:someone/clip").keys() == state.keys() and not hub.requests


def test_what_an_interrupted_run_left_is_completed(hub, state):
    config = hub.files.pop("someone/clip/config.json")
    failure("hf:someone/clip")
    hub.files["someone/clip/config.json"] = config
    assert weights.load_state_dict("hf:someone/clip").keys() == state.keys()


def test_what_transformers_fetched_without_its_preprocessor_is_completed_where_that_can_be(hub, monkeypatch, capsys):
    for file in ("config.json", "model.safetensors"):
        huggingface_hub.hf_hub_download("someone/clip", file)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert weights.find("hf:someone/clip").mean == weights.PIXEL_MEAN
    assert "hf:someone/clip: no preprocessor_config.json (HF_HUB_OFFLINE is set" in capsys.readouterr().out
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert weights.find("hf:someone/clip").mean == (0.5, 0.5, 0.5)


def test_a_model_without_preprocessor_is_asked_for_it_once(hub):
    del hub.files["someone/clip/preprocessor_config.json"]
    assert weights.find("hf:someone/clip").mean == weights.PIXEL_MEAN
    hub.requests.clear()
    assert weights.find("hf:someone/clip").mean == weights.PIXEL_MEAN and not hub.requests


def test_a_token_opens_a_private_model(hub, monkeypatch):
    hub.token = "secret"
    assert "the Hub has no someone/clip, or a private one" in failure("hf:someone/clip")
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert weights.load_clip("hf:someone/clip").visual.input_resolution == 32


def test_offline_takes_what_the_cache_has_and_asks_nobody(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set, and the cache does not have it" in failure("hf:someone/clip")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    weights.load_clip("hf:someone/clip")
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    weights.load_clip("hf:someone/clip")
    assert not hub.requests


def test_a_file_that_is_not_the_promised_one_is_removed(hub, tmp_path):
    hub.promised["someone/clip/model.safetensors"] = "1" * 64
    assert "model.safetensors of someone/clip came incomplete or altered" in failure("hf:someone/clip")
    assert not list((tmp_path / "hub").glob("**/blobs/" + "1" * 64))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"someone/clip/config.json": b'{"model_type": "siglip"}'}, 'model_type "siglip"'),
        ({"someone/clip/config.json": None}, "it has no config.json"),
        ({"someone/clip/model.safetensors": None}, "it has no model.safetensors and no pytorch_model.bin"),
    ],
)
def test_a_model_of_another_kind_is_told_before_its_weights_are_fetched(change, told, hub):
    hub.files = {name: content for name, content in (hub.files | change).items() if content is not None}
    assert told in failure("hf:someone/clip")
    assert ("GET", "someone/clip/model.safetensors") not in hub.requests


@pytest.mark.parametrize(
    ("name", "told"), [("hf:nobody/clip", "correct the name"), ("hf:", "no name of the Hub"), ("hf:a/b/c", "no name")]
)
def test_a_name_that_the_hub_does_not_have_is_told(name, told, hub):
    assert told in failure(name)


@pytest.mark.parametrize("name", ["hf:someone/clip", "open_clip:ViT-B-16/laion2b_s34b_b88k"])
def test_without_network_one_request_is_made(name, monkeypatch, tmp_path):
    """huggingface_hub alone makes seven, with pauses of half a minute between them."""
    point_to("http://127.0.0.1:9", monkeypatch, tmp_path)
    monkeypatch.setenv("CLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"it waits {seconds} s"))
    message = failure(name)
    assert message.startswith(f"cannot download {name}") and "refused" in message and "MODEL.BACKBONE.PATH" in message
