"""The hand check's page: it trusts no response, keeps labels, and they come back as rates."""

import json
import re
import time
from pathlib import Path

import pytest

import browser
from hand_check_samples import HOSTILE, drawn, hostile_sample, labels_file
from html_page import Page
from ssgr.errors import TableError
from ssgr.verification.hand_check import error_rates, page
from ssgr.verification.hand_check.intervals import Count, rate
from ssgr.verification.hand_check.sample import Item, Sample


def test_the_page_is_self_contained_and_what_a_model_wrote_adds_no_markup() -> None:
    found, harmless = (Page(page.render(sample)) for sample in (hostile_sample(), drawn(2, 1, 3)))
    assert found.tags == harmless.tags
    assert found.tags["script"] == 3
    assert found.loads == found.handlers == []
    assert "http" not in re.sub(r"http-equiv", "", page.render(drawn(2, 1, 3)))


def test_the_page_gives_its_sample_back(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    for sample in (hostile_sample(), drawn(5, 4, 6, stratified=True)):
        file.write_text(page.render(sample))
        assert page.read(file) == sample


def test_a_page_that_is_none_or_was_edited_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    with pytest.raises(TableError, match="is no page of `ssgr hand-check`"):
        page.read(file)
    file.write_text("<html>nothing</html>")
    with pytest.raises(TableError, match="is no page of `ssgr hand-check`"):
        page.read(file)
    file.write_text(page.render(drawn(2, 1, 3)).replace("gold of p001", "gold of p00l"))
    with pytest.raises(TableError, match="was edited"):
        page.read(file)


def test_labels_are_counted_and_what_was_passed_over_is_unsure(tmp_path: Path) -> None:
    sample = drawn(30, 20, 10)
    file = labels_file(tmp_path / "l.json", sample, ["right", None, "wrong", "unsure", "right"])
    labels = error_rates.read_labels(file, sample)
    assert labels == {0: "right", 1: "unsure", 2: "wrong", 3: "unsure", 4: "right"}
    total = error_rates.rates(sample, labels)[0]
    assert total.counts == Count(50, 5, 1, 2)
    assert total.rate == rate([total.counts])


def test_rates_of_groups_hold_what_is_in_the_group(tmp_path: Path) -> None:
    for stratified in (False, True):
        sample = drawn(30, 20, 20, stratified=stratified)
        labels: dict[int, error_rates.Answer] = {
            i: "wrong" if item.problem_id in ("p000", "p001", "p031") else "right"
            for i, item in enumerate(sample.items)
        }
        found = {row.group: row for row in error_rates.rates(sample, labels)}
        assert set(found) == {"all", "accepted (false accepts)", "rejected (false rejects)",
                              "verdict correct", "verdict wrong", "method exact"}  # fmt: skip
        accepted, rejected = (found[f"verdict {name}"].counts for name in ("correct", "wrong"))
        assert (accepted.population, rejected.population) == (30, 20)
        assert accepted.labelled + rejected.labelled == 20
        assert accepted.wrong == len({"p000", "p001"} & {item.problem_id for item in sample.items})
        assert found["accepted (false accepts)"].rate == rate([accepted])
        expected = rate([accepted, rejected] if stratified else [found["all"].counts])
        assert found["all"].rate == found["method exact"].rate == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"sample_digest": "0" * 16}, "labels the sample 0000000000000000, the page shows"),
     ({"labels": [{"number": 9, "problem_id": "p000", "sample": 0, "label": "right"}]},
      "label 9 names sample 0 of p000"),
     ({"labels": [{"number": 1, "problem_id": "p9", "sample": 0, "label": "right"}]},
      "not that verdict of the page"),
     ({"labels": [{"number": 1, "problem_id": "p000", "sample": 0, "label": "maybe"}]},
      "no file of labels"),
     ({"extra": 1}, "no file of labels")],
)  # fmt: skip
def test_labels_of_something_else_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    sample = drawn(3, 0, 3)
    file = labels_file(tmp_path / "l.json", sample, ["right"], **changes)
    with pytest.raises(TableError, match=message):
        error_rates.read_labels(file, sample)


def test_a_verdict_labelled_twice_is_refused(tmp_path: Path) -> None:
    sample = drawn(3, 0, 3)
    once = json.loads(labels_file(tmp_path / "l.json", sample, ["right"]).read_text())["labels"]
    file = labels_file(tmp_path / "l.json", sample, [], labels=once * 2)
    with pytest.raises(TableError, match="labels verdict 1 twice"):
        error_rates.read_labels(file, sample)


def test_wrong_verdicts_become_cases_that_the_grader_can_be_asked() -> None:
    base = drawn(1, 1, 2)
    none = Item(**base.items[0].model_dump() | {
        "answer": None, "verdict": "no-answer", "before": "</think> it is ", "marked": "",
        "after": "seven"})  # fmt: skip
    sample = Sample(**base.model_dump() | {"items": (*base.items, none)})
    lines = error_rates.cases(sample, {0: "wrong", 1: "wrong", 2: "wrong"})
    found = {json.loads(line)["gold"]: json.loads(line) for line in lines[:2]}
    assert found["gold of p000"] == {"gold": "gold of p000", "answer": "1", "expected": False}
    assert found["gold of p001"] == {"gold": "gold of p001", "answer": "1", "expected": True}
    assert json.loads(lines[2])["response"] == "</think> it is seven"
    assert error_rates.cases(sample, {0: "right", 1: "unsure"}) == []


needs_chromium = pytest.mark.skipif(browser.chromium() is None, reason="no Chromium is installed")


@needs_chromium
def test_a_person_labels_by_the_keyboard_and_downloads(tmp_path: Path) -> None:
    sample = drawn(30, 20, 12, stratified=True)
    file = tmp_path / "page.html"
    file.write_text(page.render(sample))
    with browser.running(tmp_path / "profile") as tab:
        tab.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        tab.open(file)
        assert tab.text("#gold") == sample.items[0].gold
        assert tab.text("#marked") == sample.items[0].marked == "\\boxed{1}"
        tab.press("r", "w", "ArrowRight", "u", "r", "ArrowLeft", "w", "r")
        tab.reload()
        assert tab.text("#number") == "7 of 12"
        shown = tab.run("[...document.querySelectorAll('#rates tr')].map((row) => row.innerText)")
        tab.run("document.querySelector('#download').click()")
        downloaded = tmp_path / f"labels-{sample.digest}.json"
        wait_for(downloaded)
        assert tab.complaints() == []
    labels = error_rates.read_labels(downloaded, sample)
    assert list(labels.values()) == ["right", "wrong", "unsure", "unsure", "wrong", "right"]
    found = {row.group.split()[0]: row for row in error_rates.rates(sample, labels)}
    for line in shown:
        group, *numbers = re.findall(r"[a-z]+|[\d.]+", line)
        row = found[group]
        counts, limits = row.counts, row.rate
        assert [int(n) for n in numbers[:3]] == [counts.labelled, counts.wrong, counts.unsure]
        expected = [limits.estimate, limits.low, limits.high]
        known = [100 * value for value in expected if value is not None]
        assert [float(n) for n in numbers[3:]] == pytest.approx(known, abs=0.051)


@needs_chromium
def test_in_a_browser_a_hostile_response_is_only_text(tmp_path: Path) -> None:
    sample = hostile_sample()
    file = tmp_path / "page.html"
    file.write_text(page.render(sample))
    with browser.running(tmp_path / "profile") as tab:
        tab.open(file)
        for item in sample.items:
            hidden = HOSTILE.replace("\u202e", "⟨U+202E⟩")
            assert tab.text("#question") == hidden
            assert tab.text("#response") == hidden
            assert tab.text("#answer") == item.answer
            tab.press("r")
        assert tab.run("document.title") == f"Hand check: {HOSTILE}"
        assert tab.run("document.querySelectorAll('img, b').length") == 0
        assert tab.complaints() == []


def wait_for(path: Path) -> None:
    """Until a download has its name: Chromium writes it aside and renames it."""
    end = time.monotonic() + browser.PATIENCE
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.05)
