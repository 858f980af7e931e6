"""The page of serve.py in Chromium, which drops images into it."""

import json
import shutil
import socket
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import serve
from support.user_error import UserError
from tests.tuned_models import saved_model

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402


def test_a_missing_gradio_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(serve.importlib.util, "find_spec", lambda name: None)
    assert serve.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: serve.py needs gradio, not installed here: pip install gradio\n"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    return saved_model(tmp_path_factory.mktemp("model") / "saved", "VPT")


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_that_is_none_is_refused(port, tmp_path, capsys):
    assert serve.main([str(tmp_path), "--port", port]) == 2
    assert capsys.readouterr().err == f"error: --port {port}: choose one from 1 to 65535\n"


@pytest.fixture(scope="module")
def address(tuned, tmp_path_factory):
    """Where the page is served."""
    pytest.importorskip("gradio", reason="gradio is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("dropped")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        blocks = serve.launch(serve.page(tuned), port)
        yield blocks.local_url
        blocks.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking".split():
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def drop(browser, address: str, file) -> None:
    """Open the page and put a file into it."""
    browser.get(address)
    inputs = WebDriverWait(browser, 60).until(lambda _: browser.find_elements("css selector", "input[type=file]"))
    inputs[0].send_keys(str(file))


def text_of(browser, selector: str) -> list[str]:
    """The texts of the elements with this selector, once there are any."""
    script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText).filter((each) => each)"
    texts = WebDriverWait(browser, 60).until(lambda _: browser.execute_script(script, selector))
    return [" ".join(text.split()) for text in texts]


def test_a_dropped_image_gets_its_classes_and_nothing_leaves_this_computer(tuned, address, browser, tmp_path):
    file = tmp_path / "drawn.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 50, 3), dtype=np.uint8)).save(file)
    probabilities = tuned.predict([file])[0]
    drop(browser, address, file)
    answers = text_of(browser, "[data-testid$=confidence-set]")
    assert answers == [
        f"{tuned.class_names[i]} {100 * probabilities[i]:.0f}%" for i in probabilities.argsort(descending=True)
    ]

    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
    assert {urlsplit(url).hostname for url in asked if url.startswith("http")} == {"127.0.0.1"}


def test_a_file_that_is_no_image_is_told_on_the_page(address, browser, tmp_path):
    file = tmp_path / "drawn.png"
    file.write_text("no image")
    drop(browser, address, file)
    assert "drawn.png" in " ".join(text_of(browser, "[data-testid=toast-body], .toast-body"))


def test_a_port_in_use_is_told(tuned, address, capsys):
    port = urlsplit(address).port
    with pytest.raises(UserError, match=f"port {port} of 127.0.0.1 is in use"):
        serve.launch(serve.page(tuned), port)
