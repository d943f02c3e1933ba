"""Tests of the demo page in headless Chromium."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from acl_lightning.demo import build_page, open_page
from acl_lightning.errors import UserError
from acl_lightning.exits import to_config
from acl_lightning.export import MultiExitForSequenceClassification, exported_config
from acl_lightning.export.directory import write_directory
from acl_lightning.runs import RunResult

TEXT = "a fine film that nobody needs"


def test_without_gradio_the_error_names_the_extra(served, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"gradio; found none installed\. Install it: pip install"):
        build_page(served)


def test_an_invalid_port_number_is_refused():
    pytest.importorskip("gradio", reason="the extra `demo` is not installed")

    class Page:
        def launch(self, **settings):
            with socket.socket() as opened:
                opened.bind(("127.0.0.1", settings["server_port"]))

    with pytest.raises(UserError, match=r"a free port for the page, 99999; found none\. Choose another --port"):
        open_page(Page(), 99999)


@pytest.fixture
def browser(tmp_path):
    """Headless Chromium with an empty profile; skips the test if it is not installed."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    for flag in [*flags.split(), "disable-component-update", "disable-sync", "disable-dev-shm-usage"]:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.add_argument("--window-size=1100,900")
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    try:
        yield opened
    finally:
        opened.quit()


def wait(condition, name: str, seconds: float = 60):
    """Return the value of `condition` when it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{name} did not appear within {seconds} s")


@pytest.fixture
def address(served, tmp_path):
    """Address of the command `demo`, which serves an export in another process during a test."""
    pytest.importorskip("gradio", reason="the extra `demo` is not installed")
    config = exported_config(served.encoder, served.label_names, served.text_columns, "sst2", RunResult("finished"))
    config.operating_points = {
        name: {"criterion": to_config(criterion), "threshold": threshold}
        for name, (criterion, threshold) in served.points.items()
    }
    config.recommended_point = "drop1"
    model = MultiExitForSequenceClassification(config)
    model.encoder.load_state_dict(served.encoder.state_dict())
    write_directory(tmp_path / "model", model.eval(), served.tokenizer, "card")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "acl_lightning", "demo", str(tmp_path / "model"), f"--port={port}"]
    with (tmp_path / "stderr").open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        announced = process.stdout.readline()
        assert announced.startswith(f"http://127.0.0.1:{port}"), (tmp_path / "stderr").read_text()
        yield announced.split()[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()


def test_type_classify_and_move_the_threshold(address, browser, tmp_path):
    def text_of(selector: str) -> str:
        return browser.execute_script(
            "const found = document.querySelector(arguments[0]); return found ? found.innerText : ''", selector
        )

    def set_field(selector: str, value: str) -> None:
        browser.execute_script(
            "const field = document.querySelector(arguments[0]);"
            "const kind = field instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;"
            "Object.getOwnPropertyDescriptor(kind.prototype, 'value').set.call(field, arguments[1]);"
            "for (const name of ['input', 'change', 'pointerup'])"
            "  field.dispatchEvent(new Event(name, {bubbles: true}));",
            selector,
            value,
        )

    def choose_point(label: str) -> None:
        field = browser.find_element("css selector", "#operating-point input")
        field.click()
        option = "//ul[@role='listbox']//li[contains(., '" + label + "')]"
        wait(lambda: browser.find_elements("xpath", option), label)[0].click()

    def classify_until(text: str) -> None:
        """Click again and again: on a busy machine the first click may come before the page has the new threshold."""

        def appears() -> bool:
            browser.find_element("css selector", "#classify").click()
            time.sleep(2)
            return text in text_of("#summary")

        wait(appears, text)

    def set_width(pixels: int) -> None:
        metrics = {"width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    browser.get(address)
    wait(lambda: text_of("#classify") == "Classify", "the button")
    value = "return document.querySelector('#operating-point input').value"
    assert wait(lambda: browser.execute_script(value), "the point") == "drop1 (static 2)"
    assert text_of("#threshold") == ""
    browser.find_element("css selector", "#classify").click()
    wait(lambda: "Fill in every text field" in text_of("#summary"), "the error about an empty field")
    browser.find_element("css selector", "#text-0 textarea").send_keys(TEXT)
    browser.find_element("css selector", "#classify").click()
    wait(lambda: "from the exit after layer 2 of 3" in text_of("#summary"), "the recommended point")
    assert re.search(r"Answer: (negative|positive), ", text_of("#summary"))
    assert re.search(r"Time: [\d.]+ ms; full depth: [\d.]+ ms \(8 tokens\)", text_of("#summary"))
    assert text_of("#exits").count("positive 0.") >= 3
    choose_point("full depth")
    wait(lambda: "from the exit after layer 3 of 3" in text_of("#summary"), "full depth")
    choose_point("custom criterion and threshold")
    wait(lambda: "threshold" in text_of("#threshold"), "the threshold")
    set_field("#threshold input[type=number]", "1")
    classify_until("from the exit after layer 3 of 3")
    set_field("#threshold input[type=number]", "0.5")
    classify_until("from the exit after layer 1 of 3")
    wait(lambda: "1 (leaves here)" in text_of("#exits"), "the table")
    browser.save_screenshot(os.environ.get("ACL_LIGHTNING_SCREENSHOT", str(tmp_path / "page.png")))
    set_width(420)
    widths = "const at = document.querySelector('#exits table').getBoundingClientRect();"
    widths += "return [at.left, at.right, document.documentElement.scrollWidth, window.innerWidth]"
    left, right, content, screen = browser.execute_script(widths)
    assert screen == 420
    assert 0 <= left < right <= 420
    assert content <= 420
    browser.save_screenshot(os.environ.get("ACL_LIGHTNING_NARROW_SCREENSHOT", str(tmp_path / "narrow.png")))
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [name for name in asked if not name.startswith((address, "data:", "blob:"))] == []
