import sys
from collections import Counter

import numpy as np
from PIL import Image

DIGITS_SPLIT_HASH = "f446ef469662a2bb6f405af21eeb2b9f6509473a76a9cc4d3e5341ce67103e4c"


def test_digits_are_written_once_and_split_50_20_30_per_class(build, tmp_path, monkeypatch):
    dataset = build("Digits")
    assert dataset.classnames == ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    totals = Counter(item.label for part in (dataset.train_x, dataset.val, dataset.test) for item in part)
    assert sum(totals.values()) == 1797
    for part, share in ((dataset.train_x, 0.5), (dataset.val, 0.2), (dataset.test, 0.3)):
        assert all(abs(n - share * totals[label]) <= 1 for label, n in Counter(i.label for i in part).items())
    assert dataset.split_hash == DIGITS_SPLIT_HASH, "the split must never change"

    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)  # a second import would now fail
    assert build("Digits", seed=2).split_hash == dataset.split_hash

    pixels = [np.asarray(Image.open(item.impath).convert("RGB")) for item in dataset.test[::20]]
    assert all(image.shape == (32, 32, 3) for image in pixels)
    border = np.mean([image[:, :2].mean() for image in pixels])
    centre = np.mean([image[8:24, 8:24].mean() for image in pixels])
    assert border < 30 < 90 < centre, "digits are light on dark"
