import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_hex

from comparison.figures import Methods, accuracy_against_cost, base_new_scatter, few_shot_curves, save, svg
from comparison.runs import read_runs
from tests.fake_runs import FakeRuns, add_comparison


@pytest.fixture
def fake(tmp_path) -> FakeRuns:
    return FakeRuns(tmp_path / "output")


def curve(figure, method: str) -> list[tuple[float, float]]:
    """The points of a method's line."""
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == method]
    return list(zip(*line.get_data(), strict=True))


def points(figure) -> dict[str, tuple[float, float]]:
    """The point of each method in base_new_scatter's figure."""
    return {
        container.get_label(): tuple(float(values[0]) for values in container.lines[0].get_data())
        for container in figure.axes[0].containers
    }


def costs(axes) -> dict[str, tuple[float, float]]:
    return {line.get_label(): tuple(float(values[0]) for values in line.get_data()) for line in axes.lines}


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_curve_is_the_mean_over_seeds_and_its_band_one_deviation(fake):
    for shots, accuracies in ((1, (60, 62)), (16, (80, 86))):
        for seed, accuracy in enumerate(accuracies):
            fake.add_few_shot("digits", "CoOp/tiny", shots, seed, accuracy)
    figures = few_shot_curves(read_runs(fake.folder))
    assert list(figures) == ["digits"]
    assert curve(figures["digits"], "CoOp") == [(1, 61), (16, 83)]
    corners = {tuple(map(float, corner)) for corner in figures["digits"].axes[0].collections[0].get_paths()[0].vertices}
    assert corners == {(1, 60), (1, 62), (16, 80), (16, 86)}


def test_shots_are_plain_numbers_at_equal_distances(fake):
    for shots in (1, 2, 4, 8, 16):
        fake.add_few_shot("digits", "CoOp/tiny", shots, 1, 60 + shots)
    axes = few_shot_curves(read_runs(fake.folder))["digits"].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "4", "8", "16"]
    places = axes.transData.transform([(shots, 60) for shots in (1, 2, 4, 8, 16)])[:, 0]
    assert np.ptp(np.diff(places)) < 1e-6


def test_zero_shot_is_a_dashed_horizontal_line(fake):
    fake.add_zero_shot("digits", 55)
    fake.add_few_shot("digits", "CoOp/tiny", 1, 1, 60)
    figure = few_shot_curves(read_runs(fake.folder))["digits"]
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "ZeroshotCLIP"]
    assert set(line.get_ydata()) == {55} and line.is_dashed()


def test_the_average_is_per_seed_over_datasets(fake):
    for dataset, accuracies in (("digits", (60, 70)), ("letters", (80, 70))):
        for seed, accuracy in enumerate(accuracies):
            fake.add_few_shot(dataset, "CoOp/tiny", 4, seed, accuracy)
    figure = few_shot_curves(read_runs(fake.folder))["average"]
    assert curve(figure, "CoOp") == [(4, 70)]
    assert np.ptp(figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]) == 0  # 70 for either seed


@pytest.mark.parametrize("missing", ["letters/MuDPT/tiny_4shots/seed2", "letters/MuDPT/tiny_4shots"])
def test_an_average_that_lacks_a_run_has_no_point(missing, fake):
    add_comparison(fake)
    for log in (fake.folder / missing).rglob("*.*"):
        log.unlink()
    figures = few_shot_curves(read_runs(fake.folder))
    assert np.isnan(curve(figures["average"], "MuDPT")[1][1])
    assert curve(figures["average"], "MuDPT")[0] == (1, 64)
    assert curve(figures["average"], "CoOp") == [(1, 63.5), (4, 69.5)]
    assert curve(figures["digits"], "MuDPT") == [(1, 64), (4, 73)]


def test_a_paper_config_of_another_name_for_some_shots_is_the_same_method(fake):
    fake.add_few_shot("digits", "CoOp/vit_b16_ep50", 1, 1, 60)
    fake.add_few_shot("digits", "CoOp/vit_b16", 16, 1, 80)
    assert curve(few_shot_curves(read_runs(fake.folder))["digits"], "CoOp") == [(1, 60), (16, 80)]


def test_two_configs_at_one_number_of_shots_are_two_methods(fake):
    fake.add_few_shot("digits", "CoOp/nctx4", 1, 1, 60)
    fake.add_few_shot("digits", "CoOp/nctx16", 1, 1, 64)
    assert legend(few_shot_curves(read_runs(fake.folder))["digits"]) == ["CoOp nctx16", "CoOp nctx4"]


def test_backbones_have_figures_of_their_own(fake):
    fake.add_few_shot("digits", "CoOp/rn50", 1, 1, 60, backbone="RN50")
    fake.add_few_shot("digits", "CoOp/vit_b16", 1, 1, 70, backbone="ViT-B/16")
    figures = few_shot_curves(read_runs(fake.folder))
    assert list(figures) == ["digits RN50", "digits ViT-B/16"]
    assert curve(figures["digits RN50"], "CoOp") == [(1, 60)]


def test_a_dataset_called_average_keeps_its_figure(fake):
    for dataset, accuracy in (("average", 50), ("digits", 70)):
        fake.add_few_shot(dataset, "CoOp/tiny", 1, 1, accuracy)
    figures = few_shot_curves(read_runs(fake.folder))
    assert curve(figures["average (dataset)"], "CoOp") == [(1, 50)]
    assert curve(figures["average"], "CoOp") == [(1, 60)]


def test_base_and_new_are_averages_over_the_datasets(fake):
    add_comparison(fake)
    fake.add("base2new/train_base/digits/shots_16/LinearProbe/tiny/seed1", 90, "LinearProbe", "digits", 1)
    (figure,) = base_new_scatter(read_runs(fake.folder)).values()
    assert points(figure) == {"ZeroshotCLIP": (70, 68.5), "CoOp": (81.5, 60.5), "MuDPT": (85.5, 73.5)}
    assert legend(figure) == ["MuDPT  79.0", "CoOp  69.4", "ZeroshotCLIP  69.2"]


def test_a_method_that_lacks_a_dataset_has_no_point(fake):
    add_comparison(fake)
    fake.add_base_to_new("digits", "VPT/tiny", 1, 90, 90)
    (figure,) = base_new_scatter(read_runs(fake.folder)).values()
    assert "VPT" not in points(figure)


def test_the_lines_are_of_the_h_that_they_are_labelled_with(fake):
    add_comparison(fake)
    (figure,) = base_new_scatter(read_runs(fake.folder)).values()
    axes = figure.axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
    assert len(lines) == len(axes.texts) >= 3
    for line, label in zip(lines, axes.texts, strict=True):
        base, new = line.get_data()
        assert np.allclose(2 * base * new / (base + new), float(label.get_text()))


@pytest.mark.parametrize(("base", "new"), [(0, 0), (100, 0), (100, 100), (0.01, 0.02)])
def test_extreme_accuracies_are_drawn(base, new, fake):
    fake.add_base_to_new("digits", "CoOp/tiny", 1, base, new)
    (figure,) = base_new_scatter(read_runs(fake.folder)).values()
    assert points(figure) == {"CoOp": (base, new)}
    ElementTree.fromstring(svg(figure))


def test_accuracy_and_cost_are_those_of_the_runs_that_trained(fake):
    add_comparison(fake)
    figures = accuracy_against_cost(read_runs(fake.folder))
    seconds, learned = next(figure for title, figure in figures.items() if title.startswith("base-to-new")).axes
    h = 2 * 81.5 * 60.5 / 142
    assert costs(seconds)["CoOp"] == (10, pytest.approx(h)) and costs(learned)["CoOp"] == (2048, pytest.approx(h))
    seconds, learned = next(figure for title, figure in figures.items() if "4 shots: accuracy" in title).axes
    assert costs(seconds)["MuDPT"] == (20.5, 73) and costs(learned)["MuDPT"] == (345678, 73)


def test_learned_parameters_are_those_of_the_half_that_trained(fake):
    """A cache with one key per training image has none for the new classes."""
    for half, learned in (("train_base", 10240), ("test_new", 0)):
        run = f"base2new/{half}/digits/shots_16/TipAdapterF/tiny/seed1"
        fake.add(run, 80, "TipAdapterF", "digits", 1, learned_parameters=learned)
    (figure,) = accuracy_against_cost(read_runs(fake.folder)).values()
    assert costs(figure.axes[1]) == {"TipAdapterF": (10240, 80)}


def test_zero_shot_costs_nothing_and_stands_left_of_all(fake):
    add_comparison(fake)
    for figure in accuracy_against_cost(read_runs(fake.folder)).values():
        for axes in figure.axes:
            places = {name: axes.transData.transform(point)[0] for name, point in costs(axes).items()}
            assert costs(axes)["ZeroshotCLIP"][0] == 0 and min(places, key=places.get) == "ZeroshotCLIP"
            assert axes.get_window_extent().x0 < places["ZeroshotCLIP"]


def test_logs_that_tell_no_cost_give_no_figure_of_it(fake):
    fake.add_log("digits/CoOp/rn50_1shots/seed1", 60)
    fake.add_log("digits/CoOp/rn50_2shots/seed1", 62)
    runs = read_runs(fake.folder)
    assert curve(few_shot_curves(runs)["digits"], "CoOp") == [(1, 60), (2, 62)]
    assert accuracy_against_cost(runs) == {}


def test_nothing_is_drawn_of_runs_of_another_protocol(fake):
    fake.add_zero_shot("digits", 55)
    runs = read_runs(fake.folder)
    assert (few_shot_curves(runs), base_new_scatter(runs), accuracy_against_cost(runs)) == ({}, {}, {})


def test_a_method_looks_the_same_in_all_figures(fake):
    add_comparison(fake)
    runs = read_runs(fake.folder)
    drawn = {**few_shot_curves(runs), **base_new_scatter(runs), **accuracy_against_cost(runs)}
    looks = {}
    for figure in drawn.values():
        for handle, name in zip(figure.legends[0].legend_handles, legend(figure), strict=True):
            if handle.get_linestyle() != "--":  # zero-shot's line has no marker
                looks.setdefault(name.split("  ")[0], set()).add((to_hex(handle.get_color()), handle.get_marker()))
    assert {name: len(found) for name, found in looks.items()} == {"ZeroshotCLIP": 1, "CoOp": 1, "MuDPT": 1}
    assert len(set.union(*looks.values())) == 3


def test_forty_methods_differ_in_colour_or_marker(fake):
    for number in range(40):
        fake.add_few_shot("digits", f"Method{number}/tiny", 1, 1, 60)
    looks = Methods.of(read_runs(fake.folder)).looks
    assert len({(look.colour, look.marker) for look in looks.values()}) == 40


@pytest.mark.parametrize(("longest", "width"), [("Method", 3.5), ("Long" * 30, None)])
def test_a_legend_fits_below_the_axes(longest, width, fake):
    for number in range(18):
        fake.add_few_shot("digits", f"Method{number}WithAName/tiny", 1, 1, 60)
    fake.add_few_shot("digits", f"{longest}/tiny", 1, 1, 60)
    figure = few_shot_curves(read_runs(fake.folder))["digits"]
    figure.draw_without_rendering()
    box, page = figure.legends[0].get_window_extent(), figure.bbox
    assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= page.width + 1
    assert box.y1 < figure.axes[0].get_window_extent().y0
    assert width in (None, figure.get_figwidth())


def test_svg_takes_the_colour_of_the_page(fake):
    add_comparison(fake)
    text = svg(few_shot_curves(read_runs(fake.folder))["digits"])
    ElementTree.fromstring(text)
    assert text.startswith("<svg ") and text.endswith("</svg>")
    assert "stroke: currentColor" in text and "fill: currentColor" in text
    assert "#010203" not in text and "#ffffff" not in text and "<style" not in text


def test_svg_is_the_same_each_time_and_shares_no_id_with_another_figure(fake):
    add_comparison(fake)
    first, again = (few_shot_curves(read_runs(fake.folder)) for _ in range(2))
    assert svg(first["digits"]) == svg(again["digits"])
    ids = [set(re.findall(r'\bid="([^"]*)"', svg(first[name]))) for name in ("digits", "letters")]
    assert ids[0] and ids[1] and not ids[0] & ids[1]


@pytest.mark.parametrize("name", ["<script>alert(1)<", r"$\frac{x$", "$x$", "_hidden", "a & \"b\" 'c'", "#010203"])
def test_a_name_is_drawn_as_it_is(name, fake):
    fake.add_few_shot(name, f"{name}/tiny", 1, 1, 60)
    fake.add_base_to_new(name, f"{name}/tiny", 1, 60, 50)
    runs = read_runs(fake.folder)
    for figure in (
        few_shot_curves(runs)[name],
        *base_new_scatter(runs).values(),
        *accuracy_against_cost(runs).values(),
    ):
        texts = [element.text for element in ElementTree.fromstring(svg(figure)).iter() if element.text]
        assert any(text.startswith(name) for text in texts)


@pytest.mark.parametrize(("suffix", "start"), [("pdf", b"%PDF"), ("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_saves_each_figure_under_its_name(suffix, start, fake, tmp_path):
    fake.add_few_shot("digits", "CoOp/rn50", 1, 1, 60, backbone="RN50")
    fake.add_few_shot("digits", "CoOp/vit_b16", 1, 1, 70, backbone="ViT-B/16")
    files = save(few_shot_curves(read_runs(fake.folder)), tmp_path / "curves", suffix)
    assert files == [tmp_path / "curves" / f"digits {name}.{suffix}" for name in ("RN50", "ViT-B-16")]
    assert all(file.read_bytes().startswith(start) for file in files)
    assert sorted((tmp_path / "curves").iterdir()) == files
