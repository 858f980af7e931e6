"""Both sides of the benchmark do the same work."""

import torch

from bench import loader


def test_both_sides_read_the_same_pixels(tmp_path):
    items = loader.write_images(str(tmp_path), (300, 260), 3)
    cfg = loader.config(0)
    plain, ours = loader.plain_loader(cfg, items, False), loader.our_loader(cfg, items, False)
    for expected, found in zip(plain, ours, strict=True):
        assert expected["img"].shape == (3, 3, 224, 224) and torch.equal(expected["img"], found["img"])
    assert len({image.sum().item() for image in expected["img"]}) == 3


def test_rates_and_ratio_are_given_for_every_kind_of_epoch(tmp_path, capsys):
    items = loader.write_images(str(tmp_path), (40, 30), 32)
    rows = loader.rows_of("tiny", loader.config(1), items, epochs=3, repetitions=1)
    assert [row[0] for row in rows] == [
        "tiny, first epoch",
        "tiny, later epochs",
        "tiny, run of 3 epochs",
        "tiny, test",
    ]
    assert all(min(row[1:]) > 0 for row in rows)
    assert "100% of the training images kept" in capsys.readouterr().out


def test_a_ratio_is_the_median_of_the_pairs_ratios():
    pairs = loader.np.array([[4.0, 2.0], [6.0, 2.0], [100.0, 1.0]])
    assert loader.row("x", 12, pairs) == ["x", 2, 6, 3.0]
