import functools
import hashlib
import http.server
import pickle
import threading
from argparse import Namespace
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from yacs.config import CfgNode

from clip import clip, weights
from clip.formats import openai
from support.user_error import UserError
from tests.seeded_weights import seeded_state_dict


@pytest.fixture(scope="module")
def state_dict():
    return seeded_state_dict("vit")


def failure(*args, **kwargs):
    """The message that `load_clip` ends with, after checking that it is one line."""
    with pytest.raises(UserError) as raised:
        weights.load_clip(*args, **kwargs)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# Formats of local files ------------------------------------------------------------------------------------------


def save_wrapped(state_dict, file):
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state_dict.items()}}, file)


def wrapped(key, prefix, **beside):
    """A function that saves a state dict under a key, with a prefix of its names and other things beside it."""

    def save(state_dict, file):
        torch.save({key: {prefix + name: value for name, value in state_dict.items()}, **beside}, file)

    return save


def save_beside_numbers(state_dict, file):
    torch.save({**state_dict, "epoch": 3, "accuracy": np.float64(71.5), "name": np.str_("mine"), "lr": 0.1}, file)


def save_lightning(state_dict, file):
    """As a checkpoint of Lightning: the module has CLIP as an attribute, and more."""
    content = {f"model.{name}": value for name, value in state_dict.items()} | {"head.weight": torch.ones(2, 2)}
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))])
    torch.save(
        {
            "epoch": np.int64(3),
            "global_step": 30,
            "pytorch-lightning_version": "2.4.0",
            "state_dict": content,
            "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 3}}}},
            "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5), "dirpath": "x"}},
            "optimizer_states": [optimizer.state_dict()],
            "lr_schedulers": [{"last_epoch": 3, "_last_lr": [0.1]}],
            "hparams_name": "kwargs",
            "hyper_parameters": {"cfg": CfgNode({"lr": 0.1}), "folder": PurePosixPath("x"), "options": Namespace(a=1)},
        },
        file,
    )


def save_compiled_in_places(state_dict, file):
    """As where parts of the model were wrapped, in any order."""
    names = {name: name.replace("visual.", "visual._orig_mod.module.") for name in state_dict}
    torch.save({f"_orig_mod.module.{names[name]}": value for name, value in state_dict.items()}, file)


FORMATS = {
    "state_dict.pt": torch.save,
    "under_model_state_dict.pt": wrapped("model_state_dict", "", optimizer_state_dict={"state": {}}, loss=0.1),
    "under_model.pt": wrapped("model", "_orig_mod.", args=Namespace(lr=np.float32(0.1)), best=np.array([0.5])),
    "under_a_name_of_ones_own.pt": wrapped("clip_model", "module._orig_mod.", epoch=3),
    "as_a_part_of_a_module.pt": wrapped("state_dict", "net.clip."),
    "beside_numbers.pt": save_beside_numbers,
    "lightning.ckpt": save_lightning,
    "compiled_in_places.pt": save_compiled_in_places,
    "safetensors_by_another_name.bin": save_file,
    "before_pytorch_1.6.pt": lambda state_dict, file: torch.save(
        state_dict, file, _use_new_zipfile_serialization=False
    ),
    "wrapped_by_data_parallel.pt": save_wrapped,
    "model.safetensors": save_file,
}


@pytest.mark.parametrize("name", FORMATS)
def test_reads_every_format(name, state_dict, tmp_path):
    file = tmp_path / name
    FORMATS[name](state_dict, file)
    loaded = weights.load_state_dict(path=str(file))
    assert loaded.keys() == state_dict.keys()
    assert all(torch.equal(loaded[key], value) for key, value in state_dict.items())


def test_what_lies_beside_the_clip_of_a_larger_module_is_told(state_dict, tmp_path, capsys):
    save_lightning(state_dict, tmp_path / "a.ckpt")
    assert weights.load_clip(path=str(tmp_path / "a.ckpt")).visual.input_resolution == 32
    assert "1 tensors beside the CLIP in model. are left out (head.weight)" in capsys.readouterr().out


@pytest.mark.parametrize("names", [["mine.pt"], ["open_clip_pytorch_model.bin", "pytorch_model.bin", "config.json"]])
def test_a_folder_stands_for_the_checkpoint_in_it(names, state_dict, tmp_path):
    for name in names[1:]:
        (tmp_path / name).write_text("{}")
    torch.save(state_dict, tmp_path / names[0])
    assert weights.load_clip(path=str(tmp_path)).visual.input_resolution == 32


def test_a_path_is_taken_before_a_name(state_dict, tmp_path):
    torch.save(state_dict, tmp_path / "mine.pt")
    assert weights.load_clip("ViT-B/16", str(tmp_path / "mine.pt")).visual.input_resolution == 32


def test_tensors_keep_the_precision_of_the_file(tmp_path):
    torch.save({"weight": torch.ones(2, dtype=torch.float16)}, tmp_path / "half.pt")
    assert weights.load_state_dict(path=str(tmp_path / "half.pt"))["weight"].dtype == torch.float16


# OpenAI's interface ----------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(state_dict, tmp_path, monkeypatch):
    """The embedded checkpoint, replaced by a seeded one."""
    file = str(tmp_path / "tiny_clip.pt")
    torch.save(state_dict, file)
    monkeypatch.setattr(openai, "TINY", file)
    monkeypatch.setitem(weights.MODELS, "tiny", file)
    return file


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch.jit.load is deprecated
def test_upstream_trainers_load_the_embedded_checkpoint_their_way(tiny, state_dict):
    file = clip._download(clip._MODELS["tiny"])
    assert file == tiny
    with pytest.raises(RuntimeError):  # which is how they find out that it is a state dict
        torch.jit.load(file, map_location="cpu")
    model = clip.build_model(torch.load(file, map_location="cpu"))
    assert model.state_dict().keys() == state_dict.keys()


@pytest.mark.parametrize("by_path", [False, True])
def test_load_gives_a_float32_model_and_its_preprocessing(tiny, by_path):
    from PIL import Image

    model, preprocess = clip.load(tiny if by_path else "tiny", device="cpu")
    image = preprocess(Image.new("L", (50, 40), color=255))
    assert image.shape == (3, 32, 32)
    assert image.flatten(1).mean(1).tolist() == pytest.approx([1.9303, 2.0749, 2.1459], abs=1e-3)
    assert model.dtype == torch.float32
    assert model.encode_image(image[None]).shape == (1, 32)


def test_available_models_names_openai_and_the_embedded_one():
    assert {"RN50", "ViT-B/16", "ViT-L/14@336px", "tiny"} <= set(clip.available_models())
    assert all(len(url.split("/")[-2]) == 64 for name, url in clip._MODELS.items() if name != "tiny")


# Mistakes --------------------------------------------------------------------------------------------------------


def test_unknown_name_suggests_the_nearest_and_lists_all():
    message = failure("ViT-B16")
    assert 'did you mean "ViT-B/16"?' in message
    assert "RN50x64" in message and "MODEL.BACKBONE.PATH" in message
    with pytest.raises(UserError, match='did you mean "tiny"'):
        clip.load("tinny")


def test_missing_file_names_the_config_key(tmp_path):
    message = failure(path=str(tmp_path / "nowhere.pt"))
    assert "nowhere.pt" in message and "MODEL.BACKBONE.PATH" in message


class WritesFile:
    """Unpickled without care, it creates a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (self.file, "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(zipped, tmp_path):
    file, trace = tmp_path / "evil.pt", tmp_path / "was_run"
    torch.save({"weight": WritesFile(str(trace))}, file, _use_new_zipfile_serialization=zipped)
    assert "evil.pt" in failure(path=str(file))
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
@pytest.mark.parametrize("name", ["state_dict.pt", "before_pytorch_1.6.pt", "lightning.ckpt", "model.safetensors"])
def test_truncated_file(name, share, state_dict, tmp_path):
    file = tmp_path / name
    FORMATS[name](state_dict, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    assert str(file) in failure(path=str(file))


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", pickle.dumps({"weight": [1, 2]}, protocol=2), b"PK\x03\x04 not a zip"]
)
def test_files_of_another_kind(content, tmp_path):
    file = tmp_path / "other.pt"
    file.write_bytes(content)
    assert str(file) in failure(path=str(file))


@pytest.mark.parametrize(
    "content", [{"epoch": 3}, [torch.ones(1)], {0: torch.ones(1)}, {}, {"state_dict": {"weight": 1.0}}]
)
def test_checkpoints_of_another_kind(content, tmp_path):
    file = tmp_path / "other.pt"
    torch.save(content, file)
    assert str(file) in failure(path=str(file))


@pytest.mark.parametrize(
    "missing", ["visual.conv1.weight", "ln_final.weight", "visual.proj", "logit_scale", "visual.ln_post.bias"]
)
def test_missing_tensor_is_named(missing, state_dict, tmp_path):
    file = tmp_path / "partial.pt"
    torch.save({name: value for name, value in state_dict.items() if name != missing}, file)
    message = failure(path=str(file))
    assert str(file) in message and missing in message


def test_wrong_shape_and_foreign_tensor_are_named(state_dict, tmp_path):
    file = str(tmp_path / "odd.pt")
    torch.save(state_dict | {"visual.ln_post.bias": torch.zeros(5)}, file)
    assert "visual.ln_post.bias" in failure(path=file)
    torch.save(state_dict | {"logit_bias": torch.zeros(())}, file)
    assert "logit_bias" in failure(path=file)
    torch.save(state_dict | {"ln_final.weight": torch.tensor(1.0)}, file)
    assert file in failure(path=file)


# Downloads -------------------------------------------------------------------------------------------------------


class Server(http.server.BaseHTTPRequestHandler):
    """Serves `content` under every path, and counts."""

    content, requests, redirect = b"", 0, None

    def do_GET(self):
        type(self).requests += 1
        self.send_response(302 if self.redirect else 200)
        if self.redirect:
            self.send_header("Location", self.redirect)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(state_dict, tmp_path, monkeypatch):
    """A web server on this machine with one checkpoint, its URL as `server.url`."""
    file = tmp_path / "original.pt"
    torch.save(state_dict, file)
    handler = type("Handler", (Server,), {"content": file.read_bytes()})
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
    sha256 = hashlib.sha256(handler.content).hexdigest()
    handler.url = f"http://127.0.0.1:{listener.server_port}/{sha256}/ViT-B-16.pt"
    monkeypatch.setattr(openai, "_fetch", functools.partial(openai._fetch, scheme="http"))
    monkeypatch.setitem(weights.MODELS, "ViT-B/16", handler.url)
    monkeypatch.setenv("CLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield handler
    listener.shutdown()
    listener.server_close()


def test_download_is_cached(server, tmp_path):
    assert weights.load_clip("ViT-B/16").visual.input_resolution == 32
    assert weights.load_clip("ViT-B/16").visual.input_resolution == 32
    assert server.requests == 1
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["ViT-B-16.pt"]


def test_damaged_copy_in_the_cache_is_fetched_again(server, tmp_path):
    cached = tmp_path / "elsewhere" / "ViT-B-16.pt"
    cached.parent.mkdir()
    cached.write_bytes(server.content[:1000])
    clip.load("ViT-B/16", device="cpu", download_root=str(cached.parent))
    assert cached.read_bytes() == server.content


def test_altered_download_is_removed(server, tmp_path):
    server.content = b"something else"
    message = failure("ViT-B/16")
    assert "SHA-256" in message and "MODEL.BACKBONE.PATH" in message
    assert list((tmp_path / "cache").iterdir()) == []


def test_failed_download_leaves_the_cached_copy_alone(server, tmp_path):
    cached = tmp_path / "cache" / "ViT-B-16.pt"
    cached.parent.mkdir()
    cached.write_bytes(b"put here by hand")
    server.content = b"something else"
    failure("ViT-B/16")
    assert cached.read_bytes() == b"put here by hand"


def test_no_network_says_what_to_fetch_and_where_to_put_it(server, tmp_path, monkeypatch):
    monkeypatch.setitem(weights.MODELS, "ViT-B/16", "http://127.0.0.1:9/sha256/ViT-B-16.pt")
    message = failure("ViT-B/16")
    assert "http://127.0.0.1:9/sha256/ViT-B-16.pt" in message
    assert str(tmp_path / "cache" / "ViT-B-16.pt") in message and "MODEL.BACKBONE.PATH" in message


def test_only_https_is_used(server, monkeypatch):
    monkeypatch.setattr(openai, "_fetch", openai._fetch.func)
    assert "not https" in failure("ViT-B/16")
    assert server.requests == 0


def test_a_redirection_to_another_scheme_is_refused(server, tmp_path):
    server.redirect, server.content = "ftp://127.0.0.1:9/ViT-B-16.pt", b""
    assert "MODEL.BACKBONE.PATH" in failure("ViT-B/16")
    assert list((tmp_path / "cache").iterdir()) == []
