"""The report page. Its golden file is written anew by ``python tests/comparison/test_page.py``, from the root."""

import base64
import gzip
import json
import random
import re
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from comparison.page import read_log, write_page
from comparison.runs import read_runs
from comparison.tables import all_tables
from support.user_error import UserError
from tests.fake_runs import FakeRuns, add_comparison

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "report.html"
NOTE = """\
<!-- The report on tests/fake_runs.py's comparison, without the drawings, the style, the script and what is packed.
     Written by: python tests/comparison/test_page.py -->
"""
HOSTILE = "</script><script>document.title = 'broken'</script><!-- \"' & ${x} {y}"


@pytest.fixture
def fake(tmp_path) -> FakeRuns:
    return FakeRuns(tmp_path / "output")


def page(fake: FakeRuns, against: str | None = None) -> str:
    runs = read_runs(fake.folder)
    file = fake.folder / "report.html"
    write_page(file, runs, all_tables(runs, against))
    return file.read_text(encoding="utf-8")


def without_what_changes(text: str) -> str:
    """The page without its time and what other tests look at."""
    text = re.sub(r"<time .*?</time>", "<time></time>", text)
    text = re.sub(r"(<svg )[^>]*?(role=.*? aria-label=\".*?\").*?</svg>", r"\1\2></svg>", text, flags=re.DOTALL)
    text = re.sub(r"<style>.*?</style>", "<style></style>", text, flags=re.DOTALL)
    text = re.sub(r"'sha256-[^']*'", "'sha256-'", text)
    return re.sub(r"(<script[^>]*>).*?</script>", r"\1</script>", text, flags=re.DOTALL)


class Outline(HTMLParser):
    """Start tags with their attributes, and whether every tag is closed in order."""

    VOID = ("meta", "link", "input")

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def stored(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="stored">(.*?)</script>', text, re.DOTALL)[1])


def unpacked(packed: str) -> str:
    return gzip.decompress(base64.b64decode(packed)).decode()


def opened(text: str, title: str) -> tuple[str | None, str | None]:
    """Configuration and log of the one run with this title."""
    found = stored(text)
    (run,) = [run for run in found["runs"] if run["title"] == title]
    config = None if run["config"] is None else json.loads(unpacked(found["configs"]))[run["config"]]
    return config, None if run["log"] is None else unpacked(run["log"])


def table(text: str, place: str) -> str:
    """HTML of the table below the heading with this id."""
    return text.partition(f' id="{place}">')[2].partition("</table>")[0]


def test_the_page_is_that_of_the_golden_file(fake):
    add_comparison(fake)
    assert NOTE + without_what_changes(page(fake, "ZeroshotCLIP")) == GOLDEN.read_text(encoding="utf-8")


def test_tags_are_closed_and_ids_are_unique(fake):
    add_comparison(fake)
    outline = Outline(page(fake))
    ids = outline.attributes("id")
    assert len(ids) == len(set(ids))
    assert {target[1:] for target in outline.attributes("href") if target.startswith("#")} <= set(ids)


def test_nothing_is_loaded_from_elsewhere(fake):
    add_comparison(fake)
    text = page(fake)
    outline = Outline(text)
    targets = outline.attributes("src") + outline.attributes("href") + outline.attributes("xlink:href")
    assert targets and all(target.startswith(("#", "data:")) for target in targets)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style
    assert "default-src 'none'" in text


def test_cells_carry_the_number_they_sort_by_and_the_best_are_bold(fake):
    fake.add_base_to_new("digits", "CoOp/tiny", 1, 80, 60)
    fake.add_base_to_new("digits", "CoOp/tiny", 2, 81, 60)
    fake.add_base_to_new("digits", "MuDPT/tiny", 1, 90, 50)
    rows = table(page(fake), "base-to-new-0").split("<tr>")[2:]
    assert '<td data-value="80.5">80.50 ± 0.50</td><td class="best" data-value="60">60.00 ± 0.00</td>' in rows[0]
    assert '<td class="best" data-value="90">90.00</td><td data-value="50">50.00</td>' in rows[1]
    assert '<td data-value="2048">2,048</td>' in rows[0] and '<td data-value="8192">8.2 KB</td>' in rows[0]


@pytest.mark.parametrize("dataset", ["settings", "published", "base", "method"])
def test_a_dataset_called_like_a_column_is_sorted_by_number(dataset, fake):
    for name in (dataset, "digits"):
        fake.add_base_to_new(name, "CoOp/tiny", 1, 80, 60)
    heads = re.findall(r'<th scope="col" data-type="numbers">([^<]*)<', table(page(fake), "base-to-new-0"))
    assert {"digits", dataset} <= {head.removesuffix(" (dataset)") for head in heads}


def test_a_missing_figure_has_no_number(fake):
    fake.add_base_to_new("digits", "CoOp/tiny", 1, 80, 60)
    fake.add("base2new/train_base/digits/shots_16/LinearProbe/tiny/seed1", 90, "LinearProbe", "digits", 1)
    assert "<td>–</td>" in table(page(fake), "base-to-new-0")


def test_a_method_leads_to_its_runs(fake):
    add_comparison(fake)
    text = page(fake)
    runs = stored(text)["runs"]
    numbers = re.search(r'data-runs="([^"]*)"[^>]*>MuDPT tiny<', table(text, "base-to-new-1"))[1]
    assert sorted(runs[int(number)]["title"] for number in numbers.split()) == [
        f"MuDPT tiny, digits, 16 shots, seed {seed}, {half} classes" for seed in (1, 2) for half in ("base", "new")
    ]
    assert len(re.findall(r'<tr data-run="', text)) == len(runs) == 38


def test_a_run_has_its_configuration_and_its_log(fake):
    add_comparison(fake)
    config, log = opened(page(fake), "CoOp tiny, letters, 4 shots, seed 2, all classes")
    assert "OUTPUT_DIR: output/letters/CoOp/tiny_4shots/seed2\n" in config
    assert log == (fake.folder / "letters/CoOp/tiny_4shots/seed2/log.txt").read_text()


def test_a_configuration_that_only_the_log_tells(fake):
    fake.add_log("digits/CoOp/rn50_1shots/seed1", 60, {"SEED": 1, "OPTIM": {"LR": 0.002}})
    config, _ = opened(page(fake), "CoOp rn50, digits, 1 shot, seed 1, all classes")
    assert config == "OPTIM:\n  LR: 0.002\nSEED: 1\n"


def test_a_run_without_configuration_and_log(fake):
    folder = fake.add_few_shot("digits", "CoOp/tiny", 1, 1, 60, config={})
    (folder / "log.txt").unlink()
    assert opened(page(fake), "CoOp tiny, digits, 1 shot, seed 1, all classes") == (None, None)


def test_equal_configurations_are_stored_once(fake):
    for seed in range(5):
        fake.add_few_shot("digits", "CoOp/tiny", 1, seed, 60, config={"OPTIM": {"LR": 0.002}})
    assert json.loads(unpacked(stored(page(fake))["configs"])) == ["OPTIM:\n  LR: 0.002\n"]


def test_a_thousand_runs_are_a_few_megabytes(fake):
    words = random.Random(0)
    for seed in range(500):
        config = {
            "SEED": seed,
            "OUTPUT_DIR": f"output/seed{seed}",
            **{f"KEY_{number}": number for number in range(150)},
        }
        folder = fake.add_few_shot("digits", "CoOp/tiny", 1, seed, 60, config=config)
        losses = (f"epoch [{number}/50] loss {words.random():.4f}\n" for number in range(50))
        (folder / "log.txt").write_text("".join(losses))
    assert len(page(fake)) < 1_500_000


def test_of_a_huge_log_the_beginning_and_the_end_are_kept(tmp_path):
    file = tmp_path / "log.txt"
    file.write_text("begin" + "x" * 90 + "end")
    assert read_log(file, longest=98) == "begin" + "x" * 90 + "end"
    assert read_log(file, longest=10) == "begin\n[... 88 of 98 bytes left out here ...]\nxxend"
    assert read_log(tmp_path / "missing.txt") is None


def test_a_log_that_is_no_text_is_shown_all_the_same(fake):
    folder = fake.add_few_shot("digits", "CoOp/tiny", 1, 1, 60)
    (folder / "log.txt").write_bytes(b"loss \xff 1.0")
    assert opened(page(fake), "CoOp tiny, digits, 1 shot, seed 1, all classes")[1] == "loss \ufffd 1.0"


def test_hostile_names_and_contents_stay_text(fake):
    name = HOSTILE.replace("/", "")
    config = {"NAME": HOSTILE}
    folder = fake.add_few_shot(name, f"{name}/{name}", 1, 1, 60, config=config, version=HOSTILE, backbone=HOSTILE)
    fake.add_base_to_new(name, f"{name}/{name}", 1, 70, 60, config=config, version=HOSTILE, backbone=HOSTILE)
    (folder / "log.txt").write_text(HOSTILE)
    text = page(fake)
    tags = [(tag, attributes) for tag, attributes in Outline(text).tags if tag == "script"]
    assert tags == [("script", {"type": "application/json", "id": "stored"}), ("script", {})]
    assert "<!-- " not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert opened(text, f"{name} {name}, {name}, 1 shot, seed 1, all classes")[1] == HOSTILE


def test_a_name_that_is_no_text_does_not_stop_the_page(fake):
    fake.add_few_shot("digits", "CoOp/tiny", 1, 1, 60, version="broken \udcff name")
    assert "broken ? name" in page(fake)


def test_the_page_of_an_earlier_report_is_replaced_whole_or_not_at_all(fake, monkeypatch):
    add_comparison(fake)
    file = fake.folder / "report.html"
    file.write_text("earlier")
    runs = read_runs(fake.folder)
    tables = all_tables(runs)
    damaged = runs[0].folder / "results.json"
    whole = damaged.read_text()
    damaged.write_text("{")
    with pytest.raises(UserError, match="results.json"):
        write_page(file, runs, tables)
    assert file.read_text() == "earlier"
    damaged.write_text(whole)
    write_page(file, runs, tables)
    assert file.read_text().endswith("</html>\n")
    assert not list(fake.folder.glob("report.html.*"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = FakeRuns(Path(folder))
        add_comparison(made)
        GOLDEN.write_text(NOTE + without_what_changes(page(made, "ZeroshotCLIP")), encoding="utf-8")
