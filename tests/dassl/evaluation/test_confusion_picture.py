import numpy as np
import pytest
from PIL import Image

from dassl.evaluation.confusion_picture import DOTS, confusion_figure, save_confusion_picture


def shares(count):
    return np.random.default_rng(0).dirichlet(np.ones(count), count)


@pytest.mark.parametrize("count", [2, 5, 20, 100, 150])
def test_every_class_has_its_name_and_room_for_it(count):
    names = [f"class {label}" for label in range(count)]
    figure = confusion_figure(shares(count), names)
    (axes,) = figure.axes
    for labels in (axes.get_yticklabels(), axes.get_xticklabels()):
        assert [label.get_text() for label in labels] == names
        height = axes.get_window_extent().height / count
        assert labels[0].get_fontsize() * DOTS / 72 <= height  # pixels
    assert max(figure.get_size_inches()) <= 24


def test_few_classes_have_their_shares_written_but_for_those_that_are_0():
    matrix = np.array([[0.75, 0.25, 0], [0, 1, 0], [0, 0.004, 0.996]])
    (axes,) = confusion_figure(matrix, ["a", "b", "c"]).axes
    assert [text.get_text() for text in axes.texts if text.get_visible()] == ["75", "25", "100", "0", "100"]


def test_of_a_thousand_classes_numbers_stand_at_the_axes():
    figure = confusion_figure(np.eye(1000), ["x"] * 1000)
    figure.canvas.draw()
    (axes,) = figure.axes
    assert 5 < len(axes.get_yticklabels()) < 30 and axes.get_yticklabels()[1].get_text() == "0"


def test_any_name_is_drawn_without_a_warning(tmp_path, recwarn):
    names = ["$x_", "猫", "line\nend", "\udcff", "a name that is longer than there is room for it"]
    save_confusion_picture(np.eye(5), names, str(tmp_path / "cmat.png"))
    Image.open(tmp_path / "cmat.png").verify()
    assert not recwarn.list
