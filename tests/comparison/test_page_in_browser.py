"""The report page in Chromium, which works it as a reader does."""

import json
import shutil

import pytest
from PIL import Image

from comparison.page import write_page
from comparison.runs import read_runs
from comparison.tables import all_tables
from dassl.evaluation.predictions import COLUMNS
from tests.fake_runs import FakeRuns, add_comparison

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is not installed")
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1280,1000"
)
HOSTILE = "<img src=x onerror=document.title='broken'>"
ATTACK = "</script><script>document.title='broken'</script>"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    fake = FakeRuns(tmp_path_factory.mktemp("page") / "output")
    add_comparison(fake)
    fake.add("base2new/train_base/digits/shots_16/LinearProbe/tiny/seed1", 90, "LinearProbe", "digits", 1)
    for seed in (1, 2):
        folder = fake.add_few_shot(HOSTILE, f"{HOSTILE}/tiny", 1, seed, 60, config={"NAME": ATTACK}, version=ATTACK)
        (folder / "log.txt").write_text(ATTACK)
    (fake.folder / "letters/CoOp/tiny_4shots/seed2/log.txt").unlink()
    add_predictions(fake.folder / "digits/CoOp/tiny_4shots/seed1", fake.folder.parent / "data")
    runs = read_runs(fake.folder)
    write_page(fake.folder / "report.html", runs, all_tables(runs))
    return fake.folder / "report.html"


def add_predictions(run, data):
    """Of four classes, 10, 5, 0 and 10 of 10 images are right; the wrong ones of the third class are gone."""
    (data / "set").mkdir(parents=True)
    lines = [",".join(COLUMNS)]
    for label, right in enumerate((10, 5, 0, 10)):
        for number in range(10):
            path, prediction = f"set/{label}-{number}.png", label if number < right else (label + 1) % 4
            if label != 2:
                Image.new("RGB", (200, 100 + 10 * number), (250 - 20 * number, 60 * label, 90)).save(data / path)
            names, place = f"{ATTACK} {label},{ATTACK} {prediction}", 1 if label == prediction else 2
            lines.append(f"{path},{names},0.{number}5,{place},{label},{prediction}")
    (run / "predictions.csv").write_text("\n".join(lines) + "\n")
    results = json.loads((run / "results.json").read_text())
    results |= {"predictions": "predictions.csv"}
    results["config"]["DATASET"]["ROOT"] = str(data)
    (run / "results.json").write_text(json.dumps(results))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS.split():
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium, file):
    """The page, freshly loaded; afterwards it must have complained about nothing."""
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.get(file.as_uri())
    chromium.get_log("browser")
    chromium.refresh()
    yield chromium
    assert chromium.get_log("browser") == []
    assert "broken" not in chromium.title


def element(browser, selector: str):
    return browser.find_element(By.CSS_SELECTOR, selector)


def press(browser, target) -> None:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", target)
    target.click()


def column(browser, place: str, number: int) -> list[str]:
    """The texts of a column of the table after the heading with this id."""
    cells = browser.find_elements(By.CSS_SELECTOR, f"#{place} + .scroll tbody tr > :nth-child({number})")
    return [cell.text for cell in cells]


def shown_runs(browser) -> list[str]:
    """Method and dataset of the runs in sight."""
    rows = browser.find_elements(By.CSS_SELECTOR, "#run-table tbody tr:not([hidden])")
    return [" ".join(cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td:nth-child(3)")) for row in rows]


def open_run(browser, title: str) -> tuple[str, str]:
    """Click on the run with this title; its configuration and log."""
    number = browser.execute_script("return stored.runs.findIndex((run) => run.title === arguments[0])", title)
    press(browser, element(browser, f"#run-table tr[data-run='{number}'] td"))
    texts = [element(browser, f"#{name}") for name in ("run-config", "run-log")]
    WebDriverWait(browser, 10).until(lambda _: all(text.text != "…" for text in texts))
    assert element(browser, "#run-title").text == title
    return texts[0].text, texts[1].text


def test_a_click_on_a_header_sorts_by_number_and_back(browser):
    learned = "#base-to-new-1 + .scroll th:nth-child(7)"
    assert element(browser, learned).text.startswith("learned")
    original = column(browser, "base-to-new-1", 7)
    assert original == ["0", "1,024", "2,048", "345,678"]
    seen = []
    for _ in range(3):
        press(browser, element(browser, f"{learned} button"))
        seen.append((element(browser, learned).get_attribute("aria-sort"), column(browser, "base-to-new-1", 7)))
    assert seen == [("descending", original[::-1]), ("ascending", original), ("none", original)]


def test_what_has_no_value_is_last_in_either_order(browser):
    for _ in range(2):
        press(browser, element(browser, "#base-to-new-1 + .scroll th:nth-child(4) button"))
        assert column(browser, "base-to-new-1", 4)[-1] == "–"
        assert "–" not in column(browser, "base-to-new-1", 4)[:-1]


def test_words_are_sorted_with_the_keyboard(browser):
    header = element(browser, "#base-to-new-1 + .scroll th:first-child")
    header.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(browser, "base-to-new-1", 1) == ["CoOp tiny", "LinearProbe tiny", "MuDPT tiny", "ZeroshotCLIP tiny"]


def test_one_click_on_a_run_opens_its_configuration_and_log(browser, file):
    config, log = open_run(browser, "MuDPT tiny, digits, 4 shots, seed 1, all classes")
    assert "OUTPUT_DIR: output/digits/MuDPT/tiny_4shots/seed1" in config.splitlines()
    assert log.strip() == (file.parent / "digits/MuDPT/tiny_4shots/seed1/log.txt").read_text().strip()
    press(browser, element(browser, "#close"))
    assert not element(browser, "#run").is_displayed()


def test_escape_closes_a_run_and_another_opens(browser):
    open_run(browser, "MuDPT tiny, digits, 4 shots, seed 1, all classes")
    element(browser, "#close").send_keys(Keys.ESCAPE)
    assert not element(browser, "#run").is_displayed()
    config, log = open_run(browser, "CoOp tiny, letters, 4 shots, seed 2, all classes")
    assert "output/letters/CoOp/tiny_4shots/seed2" in config and "no log.txt" in log


def test_a_run_opens_with_the_keyboard(browser):
    element(browser, "#run-table tbody button").send_keys(Keys.ENTER)
    assert element(browser, "#run").is_displayed()


def test_a_method_shows_its_runs(browser):
    links = browser.find_elements(By.CSS_SELECTOR, "#base-to-new-1 + .scroll a")
    press(browser, next(link for link in links if link.text == "MuDPT tiny"))
    assert shown_runs(browser) == ["MuDPT tiny digits"] * 4
    assert element(browser, "#shown").text == "4 of 41"
    press(browser, element(browser, "#selection"))
    assert len(shown_runs(browser)) == 41


def test_the_filter_wants_every_word(browser):
    element(browser, "#filter").send_keys("coop LETTERS few-shot")
    assert shown_runs(browser) == ["CoOp tiny letters"] * 4


def test_hostile_names_and_contents_do_nothing(browser):
    config, log = open_run(browser, f"{HOSTILE} tiny, {HOSTILE}, 1 shot, seed 1, all classes")
    assert ATTACK in config and log == ATTACK
    assert browser.find_elements(By.TAG_NAME, "img") == []
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 2


def test_a_run_shows_its_mistakes(browser):
    open_run(browser, "CoOp tiny, digits, 4 shots, seed 1, all classes")
    WebDriverWait(browser, 10).until(lambda _: element(browser, "#run-mistakes").is_displayed())
    bars = browser.find_elements(By.CSS_SELECTOR, "#run-classes > div")
    assert [bar.text.split()[-3:] for bar in bars] == [[number, "of", "10"] for number in ("0", "5", "10", "10")]
    filled = [bar.find_element(By.CSS_SELECTOR, ".track span").size["width"] for bar in bars]
    whole = bars[0].find_element(By.CSS_SELECTOR, ".track").size["width"]
    assert filled == pytest.approx([0, whole / 2, whole, whole], abs=1)
    pairs = [pair.text for pair in browser.find_elements(By.CSS_SELECTOR, "#run-pairs li")]
    assert pairs == [f"{ATTACK} 2 → {ATTACK} 3: 10", f"{ATTACK} 1 → {ATTACK} 2: 5"]
    images = browser.find_elements(By.CSS_SELECTOR, "#run-images img")
    WebDriverWait(browser, 10).until(lambda _: all(image.get_property("naturalWidth") for image in images))
    assert max(max(image.size.values()) for image in images) == 96 and len(images) == 5
    assert images[0].get_attribute("alt") == "set/1-9.png"
    gone = [path.text for path in browser.find_elements(By.CSS_SELECTOR, "#run-images code")]
    assert gone[0] == "set/2-9.png" and len(gone) == 7
    captions = browser.find_elements(By.CSS_SELECTOR, "#run-images figcaption")
    assert captions[0].text == f"{ATTACK} 1 → {ATTACK} 2, 95.0 %"


def test_a_run_without_predictions_shows_no_mistakes_of_another(browser):
    open_run(browser, "CoOp tiny, digits, 4 shots, seed 1, all classes")
    WebDriverWait(browser, 10).until(lambda _: element(browser, "#run-mistakes").is_displayed())
    press(browser, element(browser, "#close"))
    open_run(browser, "MuDPT tiny, digits, 4 shots, seed 1, all classes")
    assert not element(browser, "#run-mistakes").is_displayed()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_does_not_scroll_sideways(width, browser):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return innerWidth") == width


def test_the_toggle_changes_the_colours_of_page_and_figures(browser):
    def colours() -> list[str]:
        text = element(browser, "figure svg text")
        return [element(browser, "body").value_of_css_property("background-color"), text.value_of_css_property("fill")]

    before = colours()
    press(browser, element(browser, "#theme"))
    after = colours()
    assert before[0] != after[0] and before[1] != after[1]
    press(browser, element(browser, "#theme"))
    assert colours() == before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_scheme_of_the_system(scheme, browser):
    emulated = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", emulated)
    background = element(browser, "body").value_of_css_property("background-color")
    assert ("255, 255, 255" in background) == (scheme == "light")


def test_tables_and_figures_show_without_javascript(browser):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.refresh()
        assert element(browser, "#base-to-new-1 + .scroll tbody").is_displayed()
        assert element(browser, "figure svg").is_displayed()
        assert not element(browser, "#theme").is_displayed() and not element(browser, "#filter").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
