"""The report page in a real browser: no console error, no request, a filter that filters, figures that are drawn."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from study.bench.tables import GeneratedRun
from study.report.blocks import DASH
from study.report.page import write_report
from study.store.storage import Storage

pytestmark = pytest.mark.slow

FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"),
    *("disable-component-update", "disable-sync"),
)
WIDE, NARROW = 1200, 390
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Debian's Chromium without a window."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        message = "no chromium and chromedriver here (Debian: apt-get install chromium chromium-driver)"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    options = Options()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=Service(driver)) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    storage = Storage.at(tmp_path_factory.mktemp("generated"))
    GeneratedRun(depths=(8, 44), searches=3).write(storage)
    return Path(write_report(storage)).as_uri()


def show(browser: webdriver.Chrome, page: str, *, width: int = WIDE, dark: bool = False) -> None:
    """Load the page afresh at a width, light or dark, and wait until the first figure stands."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == NARROW}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get("about:blank")
    browser.get(page)
    wait = WebDriverWait(browser, PATIENCE_SECONDS)
    wait.until(lambda opened: opened.find_elements(By.CSS_SELECTOR, ".hero .chart .main-svg"))


def click(browser: webdriver.Chrome, element: WebElement) -> None:
    """Click without waiting for the page to scroll there."""
    browser.execute_script("arguments[0].click()", element)


def color(browser: webdriver.Chrome, selector: str, name: str) -> list[int]:
    """Red, green and blue of a computed style."""
    script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    text = browser.execute_script(script, selector, name)
    return [int(part) for part in text[text.index("(") + 1 : -1].split(",")[:3]]


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("dark", [False, True])
def test_every_figure_is_drawn_without_an_error_or_a_request(
    browser: webdriver.Chrome, page: str, width: int, dark: bool
) -> None:
    for log in ("browser", "performance"):  # what earlier tests left
        browser.get_log(log)
    show(browser, page, width=width, dark=dark)
    browser.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; });")
    browser.execute_script("boxes().forEach(draw)")
    boxes = browser.find_elements(By.CSS_SELECTOR, ".chart[data-chart]")
    assert len(boxes) > 15
    WebDriverWait(browser, PATIENCE_SECONDS).until(
        lambda opened: len(opened.find_elements(By.CSS_SELECTOR, ".chart[data-chart] > .plot-container")) == len(boxes)
    )
    assert all(box.size["height"] > 100 and 200 < box.size["width"] <= width for box in boxes)
    assert [entry for entry in browser.get_log("browser") if entry["level"] in {"WARNING", "SEVERE"}] == []
    requests = [
        entry["message"] for entry in browser.get_log("performance") if 'requestWillBeSent"' in entry["message"]
    ]
    assert [text for text in requests if '"url":"http' in text] == []
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_dark_and_light_follow_the_system(browser: webdriver.Chrome, page: str) -> None:
    for dark in (False, True):
        show(browser, page, dark=dark)
        paper, ink = color(browser, "body", "backgroundColor"), color(browser, ".hero .chart text", "fill")
        assert (sum(paper) < 3 * 64) == dark
        assert (sum(ink) > 3 * 160) == dark


def test_the_trial_table_filters_sorts_and_opens_a_trial(browser: webdriver.Chrome, page: str) -> None:
    show(browser, page)
    rows = lambda: browser.find_elements(By.CSS_SELECTOR, "#trial-table tbody tr")  # noqa: E731
    assert len(rows()) == 64
    headings = browser.find_elements(By.CSS_SELECTOR, "#trial-table th")
    place = [heading.text.rstrip(" ↓") for heading in headings].index("val accuracy")
    best = [row.find_elements(By.TAG_NAME, "td")[place].text for row in rows()]
    known = [float(text) for text in best if text != DASH]
    assert best[: len(known)] == [text for text in best if text != DASH]  # those without an accuracy come last
    assert known == sorted(known, reverse=True)
    browser.find_element(By.ID, "filter").send_keys("44 isometric confirm")
    assert len(rows()) == 5
    assert browser.find_element(By.ID, "count").text == "5 of 64 trials"
    click(browser, headings[place])
    values = [float(row.find_elements(By.TAG_NAME, "td")[place].text) for row in rows()]
    assert values == sorted(values)
    click(browser, rows()[0].find_element(By.TAG_NAME, "a"))
    WebDriverWait(browser, PATIENCE_SECONDS).until(
        lambda opened: len(opened.find_elements(By.CSS_SELECTOR, "#trial .maps .main-svg")) > 0
    )
    assert "depth=44,recipe=isometric:confirm" in browser.find_element(By.CSS_SELECTOR, "#trial h3").text
    curves = browser.execute_script("return document.querySelector('#trial .maps .chart').data.map((one) => one.y)")
    assert len(curves) == 4
    assert all(len(values) == 3 for values in curves)


def drawn(browser: webdriver.Chrome, title: str) -> dict[str, object]:
    """Axis title, and the first trace's places and curve, of the chart below a title."""
    script = """
        const heading = [...document.querySelectorAll("h3")].find((one) => one.textContent === arguments[0]);
        const box = heading.parentElement.querySelector(".chart");
        draw(box);
        return { axis: box.layout.xaxis.title.text, x: box.data[0].x, curve: box.data.at(-1).curve };"""
    return browser.execute_script(script, title)


def choose(browser: webdriver.Chrome, selector: str, text: str) -> None:
    """Choose an option by its text in the first list of a kind that has it."""
    script = """
        const lists = [...document.querySelectorAll(arguments[0])];
        const found = lists.flatMap((list) => [...list.options]).find((one) => one.textContent === arguments[1]);
        found.parentElement.value = found.value;
        found.parentElement.dispatchEvent(new Event("change"));"""
    browser.execute_script(script, selector, text)


def test_a_cell_is_chosen_once_and_its_curves_are_seen_by_epoch_or_by_step(
    browser: webdriver.Chrome, page: str
) -> None:
    show(browser, page)
    by_step = drawn(browser, "A cell and its seeds")
    assert by_step["axis"] == "step"
    choose(browser, "select.against", "by epoch")
    by_epoch = drawn(browser, "A cell and its seeds")
    assert (by_epoch["axis"], by_epoch["x"]) == ("epoch", [1, 2, 3])
    assert by_step["x"] != by_epoch["x"]
    choose(browser, "#optuna-0 select.choice", "depth=8,recipe=residual")
    assert drawn(browser, "A cell and its seeds")["curve"] == "depth=8,recipe=residual"


def test_a_table_that_goes_on_at_its_side_shows_a_shadow_there(browser: webdriver.Chrome, page: str) -> None:
    show(browser, page, width=NARROW)
    script = "return getComputedStyle(document.querySelector('#trials .scroll')).backgroundAttachment"
    assert browser.execute_script(script) == "local, local, scroll, scroll"


def test_no_table_is_cut_in_print(browser: webdriver.Chrome, page: str) -> None:
    show(browser, page, width=700)
    browser.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; });")
    script = """return [...document.querySelectorAll("main table")].filter((one) => one.offsetParent !== null)
        .map((one) => one.getBoundingClientRect().right)"""
    assert max(browser.execute_script(script)) > 700  # on the screen they scroll
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    ends = browser.execute_script(script)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert len(ends) > 10
    assert max(ends) <= 700


def test_a_table_of_the_analysis_sorts(browser: webdriver.Chrome, page: str) -> None:
    show(browser, page)
    table = browser.find_element(By.CSS_SELECTOR, "#isometry-0 table.sortable")
    click(browser, table.find_elements(By.TAG_NAME, "th")[0])
    depths = [int(row.find_element(By.TAG_NAME, "td").text) for row in table.find_elements(By.CSS_SELECTOR, "tbody tr")]
    assert depths == sorted(depths)


def test_print_shows_everything_opened(browser: webdriver.Chrome, page: str) -> None:
    show(browser, page)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(printed["data"]) > 100_000
    assert browser.execute_script("return [...document.querySelectorAll('details')].every((one) => one.open)")
