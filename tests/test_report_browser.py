"""The pages in a real browser: they load offline, complain of nothing, and their charts answer."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import browser
from ssgr.report import exhibits as exhibits_page
from ssgr.report.paper import closer_look
from ssgr.report.tables.build import build
from ssgr.report.write import gather, render
from synthetic_results import graded_shards, make_config, write_results
from test_paper_page import written

pytestmark = pytest.mark.skipif(browser.chromium() is None, reason="no Chromium is installed")
PAGES = ("run", "paper")
SHOWN = "[...document.querySelectorAll('.chart')].filter((one) => one.offsetParent)"
TOOLTIP = "document.querySelector('#vg-tooltip-element.visible')"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of a run, and a paper of two tables and a figure."""
    root = tmp_path_factory.mktemp("pages")
    run = make_config()
    write_results(root / "run/results", root / "run/pool", run)
    results = root / "run/results"
    found = gather(results, root / "run/pool", run, graded_shards(results))
    config = written(root / "paper")
    results, pool = root / "paper/results", root / "paper/pool"
    shown = [build(config, name, results, pool) for name in ("table2", "table7", "figure2")]
    texts = {
        "run": render(found, run),
        "paper": exhibits_page.render(shown, config, closer_look(results, config)),
    }
    for name, text in texts.items():
        (root / f"{name}.html").write_text(text)
    return {name: root / f"{name}.html" for name in texts}


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    with browser.running(tmp_path_factory.mktemp("profile")) as found:
        yield found


def scroll_through(tab: browser.Browser) -> None:
    """Bring every chart that this width shows near the window, and wait until it is drawn."""
    for number in range(int(tab.run(f"{SHOWN}.length"))):
        tab.run(f"{SHOWN}[{number}].scrollIntoView()")
        tab.until(f"{SHOWN}[{number}].classList.contains('drawn')")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_alone_and_fits(
    tab: browser.Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    tab.events.clear()
    tab.resize(width)
    tab.open(pages[name])
    scroll_through(tab)
    assert tab.requests() == {pages[name].as_uri()}
    assert tab.complaints() == []
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run(f"{SHOWN}.length") == {"run": 6, "paper": 3}[name]
    live = "one.querySelector('.live svg').checkVisibility()"
    assert tab.run(f"{SHOWN}.every((one) => {live})") is True
    assert tab.run(f"{SHOWN}.every((one) => !one.querySelector('svg').checkVisibility())") is True
    rows = "[...document.querySelectorAll('table.main tbody tr')]"
    assert tab.run(f"{rows}.filter((row) => row.innerText.trim()).length") > 8
    # nothing is wider than the page but what scrolls by itself
    wide = (f"[...document.querySelectorAll('main *')].filter((one) => one.checkVisibility()"
            f" && !one.closest('.scroll, pre') && one.getBoundingClientRect().right > {width + 1})"
            ".map((one) => one.outerHTML.slice(0, 80))")  # fmt: skip
    assert tab.run(wide) == []
    sizes = "[...document.querySelectorAll('td, th, p')].filter((one) => one.checkVisibility())"
    smallest = f"Math.min(...{sizes}.map((one) => parseFloat(getComputedStyle(one).fontSize)))"
    assert tab.run(smallest) >= 11


@pytest.mark.parametrize("name", PAGES)
def test_a_bar_says_what_it_is_to_the_pointer(
    tab: browser.Browser, pages: dict[str, Path], name: str
) -> None:
    tab.resize(1280)
    tab.open(pages[name])
    bar = f"{SHOWN}[0].querySelector('.live .mark-rect path')"
    tab.run(f"{SHOWN}[0].scrollIntoView()")
    tab.until(f"!!{bar}")
    tab.hover(bar)
    tab.until(f"!!{TOOLTIP}")
    said = tab.run(f"{bar}.getAttribute('aria-label')")
    assert re.search(r": \d+\.\d ± \d+\.\d %", said)
    assert tab.run(f"{TOOLTIP}.innerText") == said


def test_a_click_in_the_legend_dims_the_other_bars(
    tab: browser.Browser, pages: dict[str, Path]
) -> None:
    tab.resize(1280)
    tab.open(pages["run"])
    bars = f"[...{SHOWN}[0].querySelectorAll('.live .mark-rect path')]"
    faint = f"{bars}.filter((one) => parseFloat(one.getAttribute('opacity') ?? 1) < 0.5).length"
    tab.until(f"{bars}.length == 40")
    assert tab.run(faint) == 0
    tab.click(f"{SHOWN}[0].querySelector('.live .role-legend-label text')")
    tab.until(f"{faint} == 30")


@pytest.mark.parametrize("name", PAGES)
def test_without_script_and_in_print_the_still_charts_are_shown(
    tab: browser.Browser, pages: dict[str, Path], name: str
) -> None:
    tab.resize(1280)
    tab.send("Emulation.setScriptExecutionDisabled", value=True)
    tab.send("Page.navigate", url=pages[name].as_uri())
    tab.until("document.readyState === 'complete'")
    still = "document.querySelectorAll('.chart.wide > svg')"
    assert tab.run("document.querySelectorAll('.live').length") == 0
    assert tab.run(f"[...{still}].every((one) => one.checkVisibility())") is True
    tab.send("Emulation.setScriptExecutionDisabled", value=False)
    tab.open(pages[name])
    scroll_through(tab)
    assert tab.run(f"[...{still}].some((one) => one.checkVisibility())") is False
    tab.send("Emulation.setEmulatedMedia", media="print")
    assert tab.run(f"[...{still}].every((one) => one.checkVisibility())") is True
    assert tab.run("document.querySelector('.live').checkVisibility()") is False
    tab.send("Emulation.setEmulatedMedia", media="")


def test_a_chart_that_cannot_be_drawn_keeps_its_still_picture(
    tab: browser.Browser, pages: dict[str, Path], tmp_path: Path
) -> None:
    text = pages["paper"].read_text()
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace('<script type="application/json">', "<script type=none>x", 2))
    tab.resize(1280)
    tab.open(broken)
    first = f"{SHOWN}[0]"
    tab.run(f"{first}.scrollIntoView()")
    tab.until("document.querySelectorAll('.drawn').length > 0 || performance.now() > 3000")
    assert tab.run(f"{first}.classList.contains('drawn')") is False
    assert tab.run(f"{first}.querySelector('svg').checkVisibility()") is True
    assert tab.run(f"{first}.querySelectorAll('.live').length") == 0


def test_a_response_is_folded_and_unfolds(tab: browser.Browser, pages: dict[str, Path]) -> None:
    tab.resize(390)
    tab.open(pages["paper"])
    thinking = "document.querySelector('.answer details pre')"
    assert tab.run(f"{thinking}.checkVisibility()") is False
    tab.click("document.querySelector('.answer summary')")
    tab.until(f"{thinking}.checkVisibility()")
    assert str(tab.run(f"{thinking}.innerText")).startswith("thoughts of p")
