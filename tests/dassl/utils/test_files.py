import io
import os
import random
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from dassl.data.datasets import DatasetBase
from dassl.utils import (
    AverageMeter,
    DataError,
    MetricMeter,
    UserError,
    atomic_write,
    check_isfile,
    collect_env_info,
    download_url,
    get_most_similar_str_to_a_from_b,
    listdir_nohidden,
    mkdir_if_missing,
    read_image,
    read_json,
    set_random_seed,
    setup_logger,
    tolist_if_not,
    write_json,
)
from dassl.utils.logger import Logger
from dassl.utils.random_states import random_states, set_random_states


@pytest.fixture
def stdout(monkeypatch):
    """Lets a test replace sys.stdout, and puts it back."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)


def test_json_round_trip_makes_folders(tmp_path):
    path = tmp_path / "a" / "b.json"
    write_json({"x": [1, "ä"]}, str(path))
    assert read_json(str(path)) == {"x": [1, "ä"]}
    assert os.listdir(path.parent) == ["b.json"]


def test_bad_json_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text('{"x": ')
    with pytest.raises(UserError, match="bad.json is not valid JSON"):
        read_json(str(path))
    with pytest.raises(UserError, match="missing.json"):
        read_json(str(tmp_path / "missing.json"))


def test_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]
    with atomic_write(path, "wb") as file:
        file.write(b"new")
    assert path.read_text() == "new"


def test_unwritable_place_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    for write in (lambda path: write_json({}, path), lambda path: mkdir_if_missing(path), setup_logger):
        with pytest.raises(UserError, match="file/below"):
            write(str(tmp_path / "file" / "below"))


def test_listing_leaves_hidden_names_out(tmp_path):
    for name in ("b", ".hidden", "a", "@eaDir", "Thumbs.db"):
        (tmp_path / name).touch()
    assert listdir_nohidden(str(tmp_path), sort=True) == ["a", "b"]
    with pytest.raises(UserError, match="missing"):
        listdir_nohidden(str(tmp_path / "missing"))


def test_check_isfile_warns(tmp_path):
    (tmp_path / "there").touch()
    assert check_isfile(str(tmp_path / "there"))
    with pytest.warns(UserWarning, match="gone"):
        assert not check_isfile(str(tmp_path / "gone"))


def test_images_are_read_as_rgb_and_bad_ones_named(tmp_path):
    Image.new("L", (3, 2), 7).save(tmp_path / "grey.png")
    assert read_image(str(tmp_path / "grey.png")).getpixel((0, 0)) == (7, 7, 7)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UserError, match="cannot read the image .*text.png"):
        read_image(str(tmp_path / "text.png"))
    with pytest.raises(UserError, match="image not found: .*gone.png"):
        read_image(str(tmp_path / "gone.png"))


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_images_of_16_bits_keep_their_shades(ending, tmp_path):
    shades = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    Image.fromarray(shades).save(tmp_path / f"x_ray.{ending}")
    read = read_image(str(tmp_path / f"x_ray.{ending}"))
    assert np.asarray(read)[0].tolist() == [[value] * 3 for value in (0, 0, 1, 128, 255)]


def test_images_of_floating_point_numbers_are_refused(tmp_path):
    Image.fromarray(np.ones((2, 2), dtype=np.float32)).save(tmp_path / "depth.tif")
    with pytest.raises(UserError, match="cannot read the image .*depth.tif: its pixels are floating-point"):
        read_image(str(tmp_path / "depth.tif"))


@pytest.mark.parametrize("width, height", [(2**14, 2**13 + 1), (1, 501), (501, 1), (2**31 - 1, 2)])
def test_an_image_of_a_size_that_no_image_has_is_refused_before_it_is_decoded(width, height, tmp_path):
    (tmp_path / "a.ppm").write_bytes(f"P6 {width} {height} 255\n".encode())
    with pytest.raises(DataError, match=rf"a.ppm: .*({width} x {height} pixels|exceeds limit)"):
        read_image(str(tmp_path / "a.ppm"))


def test_a_photograph_of_a_hundred_million_pixels_is_read_without_a_warning(tmp_path, recwarn):
    Image.new("1", (12_000, 9_000)).save(tmp_path / "a.png")
    assert read_image(str(tmp_path / "a.png")).size == (12_000, 9_000)
    assert not recwarn


def test_a_format_for_which_pillow_starts_a_program_is_refused(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.eps")
    with pytest.raises(DataError, match="it is PostScript, which is not read here"):
        read_image(str(tmp_path / "a.eps"))


@pytest.mark.parametrize("read", [read_image, read_json])
def test_what_is_no_regular_file_is_refused_at_once(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink("/dev/zero", tmp_path / "device")
    for name in ("pipe", "device"):
        with pytest.raises(DataError, match="no regular file"):
            read(str(tmp_path / name))
    with pytest.raises(DataError, match="Is a directory"):
        read(str(tmp_path))
    with pytest.raises(DataError, match="null byte"):
        read(str(tmp_path / "a\0b"))


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "9" * 5000, '{"a": 1,}', "\ufeff{}"], ids=["deep", "long", "comma", "mark"]
)
def test_json_beyond_the_limits_of_python_is_an_error_that_names_the_file(text, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match="a.json is not valid JSON"):
        read_json(str(tmp_path / "a.json"))


def test_seed_fixes_every_generator():
    draws = []
    for _ in range(2):
        set_random_seed(5)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]


def test_environment_names_versions():
    text = collect_env_info()
    assert f"torch {torch.__version__.split('+')[0]}" in text and f"numpy {np.__version__}" in text


def test_a_run_without_gpus_asks_nothing_of_them(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("opens a context on the GPU")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("get_device_name", "get_rng_state_all", "set_rng_state"):
        monkeypatch.setattr(torch.cuda, name, refuse)
    assert "GPU" not in collect_env_info(use_cuda=False)
    states = random_states(with_gpus=True)
    assert "cuda" not in states
    set_random_states({**states, "cuda": [torch.zeros(16, dtype=torch.uint8)]})


def test_small_helpers():
    assert tolist_if_not("a") == ["a"] and tolist_if_not(["a"]) == ["a"]
    assert get_most_similar_str_to_a_from_b("ab", ["xy", "abc"]) == "abc"
    assert get_most_similar_str_to_a_from_b("ab", []) is None


def test_meters_print_last_value_and_average():
    meter = MetricMeter()
    meter.update({"loss": 1.0, "acc": torch.tensor(50.0)})
    meter.update({"loss": 2.0, "acc": 100})
    meter.update(None)
    assert str(meter) == "loss 2.0000 (1.5000) acc 100.0000 (75.0000)"
    with pytest.raises(TypeError):
        meter.update(1.0)
    weighted, moving = AverageMeter(), AverageMeter(ema=True)
    weighted.update(1.0, n=3)
    weighted.update(5.0)
    assert weighted.avg == 2.0
    moving.update(1.0)
    moving.update(1.0)
    assert moving.avg == pytest.approx(0.19)


def test_log_holds_what_is_printed_and_an_older_log_is_kept(tmp_path, stdout, capsys):
    for run in ("first", "second", "third"):
        setup_logger(str(tmp_path))
        print(run)
        print("no newline", end="")
    sys.stdout.close()
    assert capsys.readouterr().out == "".join(f"{run}\nno newline" for run in ("first", "second", "third"))
    assert (tmp_path / "log.txt").read_text() == "third\nno newline"
    older = [path for path in tmp_path.iterdir() if path.name.startswith("log.txt-20")]
    assert sorted(path.read_text() for path in older) == ["first\nno newline", "second\nno newline"]


def test_a_name_that_is_not_utf_8_goes_into_the_log(tmp_path):
    log = Logger(str(tmp_path / "log.txt"))
    log.console = io.StringIO()
    log.write("broken \udcff name\n")
    log.close()
    assert (tmp_path / "log.txt").read_text() == "broken \\udcff name\n"


def test_log_lines_are_on_disk_at_once(tmp_path, stdout):
    setup_logger(str(tmp_path / "my.log"))
    print("line")
    assert (tmp_path / "my.log").read_text() == "line\n"
    assert sys.stdout.encoding and not sys.stdout.isatty()
    sys.stdout.close()


def test_lines_printed_under_a_progress_bar_stay_whole(tmp_path, stdout, monkeypatch):
    monkeypatch.setattr("dassl.utils.logger.bars_are_shown", lambda: True)
    written = []
    monkeypatch.setattr(sys, "stdout", type("Console", (), {"write": written.append, "flush": lambda self: None})())
    setup_logger(str(tmp_path))
    print("a line", 1)
    assert written == ["a line 1\n"]
    assert (tmp_path / "log.txt").read_text() == "a line 1\n"
    sys.stdout.close()


def test_a_file_that_others_ask_for_is_downloaded_or_its_address_is_told(tmp_path):
    (tmp_path / "there.txt").write_text("words")
    download_url((tmp_path / "there.txt").as_uri(), str(tmp_path / "here.txt"))
    assert (tmp_path / "here.txt").read_text() == "words"
    with pytest.raises(UserError, match="cannot download file:.*put the file there"):
        download_url((tmp_path / "nowhere.txt").as_uri(), str(tmp_path / "new.txt"))
    assert not (tmp_path / "new.txt").exists()
    with pytest.raises(UserError, match="download https://host/a.zip, and unpack it there"):
        DatasetBase.download_data(DatasetBase.__new__(DatasetBase), "https://host/a.zip", "data/set/a.zip")
