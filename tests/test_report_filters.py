"""What the report says of the quality filters: counts by brute force, examples, and no markup."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from small_pool import SmallPool
from ssgr.config import Filters
from ssgr.errors import PoolError
from ssgr.pool import receipts
from ssgr.report.filters import ANY, EXCERPT, REMOVED, excerpt, removed
from ssgr.report.write import gather, render
from synthetic_results import graded_shards, make_config, write_results
from test_report import without_scripts

EVIL = "<script>alert(1)</script> \u202e<b>&amp;"
THINKING = Filters(min_thinking_share=0.5)


def part(
    small: SmallPool, number: int, rows: list[tuple[str, int, int]], **measured: list[object]
) -> receipts.GradedPart:
    """Publish a part of one shard; ``correct`` among the columns says which are."""
    correct = [bool(right) for right in measured.pop("correct", [True] * len(rows))]
    texts = [f"{name} {sample} {EVIL}" for name, sample, _ in rows]
    path = small.draw("000000-000004", rows, number=number, texts=texts)
    graded = small.grade(path, correct, measured=measured)
    return small.graded_part(path, graded)


@pytest.fixture
def shards(tmp_path: Path) -> list[receipts.GradedShard]:
    """One shard of two parts, and an empty one: 8 responses to 3 problems."""
    small = SmallPool(tmp_path)
    first = part(
        small, 0, [("a", 0, 9), ("a", 1, 9), ("b", 0, 9), ("b", 1, 9), ("c", 0, 9)],
        correct=[False, True, True, True, True],
        rep_20=[0.9, 0.8, 0.1, 0.1, 0.1], thinking_tokens=[100, 100, 10, 100, 7],
        different_boxes=[1, 1, 1, 2, 1],
    )  # fmt: skip
    second = part(
        small, 1, [("a", 2, 9), ("b", 2, 9), ("b", 3, 9)],
        correct=[True, False, False],
        rep_20=[0.1, 0.7, 0.1], thinking_tokens=[40, 100, 100],
    )  # fmt: skip
    return [receipts.GradedShard(parts=(first, second)), receipts.GradedShard(parts=())]


def test_counts_are_of_all_responses_and_examples_of_the_correct_ones_first(
    tmp_path: Path, shards: list[receipts.GradedShard]
) -> None:
    found = removed(tmp_path, shards, THINKING)
    rows = {row["filter"]: row for row in found.iter_rows(named=True)}
    assert list(rows) == [name for name in Filters.model_fields
                          if name != "max_tokens_after_box"] + [ANY]  # fmt: skip
    counts = {name: (row["problems"], row["responses"], row["correct"])
              for name, row in rows.items() if row["responses"]}  # fmt: skip
    assert counts == {
        "max_rep_20": (2, 3, 1),
        "min_thinking_share": (2, 2, 2),  # a 2: below half of 100; b 0, its median in both parts
        "max_different_boxes": (1, 1, 1),
        ANY: (2, 6, 4),
    }
    assert rows["max_rep_20"]["share"] == 3 / 8
    assert rows["max_rep_20"]["threshold"] == "0.2"
    assert rows["require_closed"]["threshold"] == "true"
    shown = rows["max_rep_20"]["examples"]
    assert [(one["problem_id"], one["sample"]) for one in shown] == [("a", 1), ("b", 2)]
    assert shown[0]["measured"] == "rep_20 = 0.80, 9 tokens, correct"
    assert shown[0]["text"].startswith("a 1 <script>") and "\u202e" not in shown[0]["text"]


def test_what_is_dropped_is_what_selection_drops(
    tmp_path: Path, shards: list[receipts.GradedShard]
) -> None:
    off = {name: False for name in Filters.model_fields if name.startswith("require")}
    off |= {name: None for name in Filters.model_fields if name.startswith("max_t")}
    lenient = Filters.model_validate(
        off | {"max_rep_20": 1, "max_loop_share": 1, "max_different_boxes": None}
    )
    found = removed(tmp_path, shards, lenient)
    assert found["filter"].to_list() == ["max_rep_20", "max_loop_share", ANY]
    assert found["responses"].to_list() == [0, 0, 0]
    nothing = removed(tmp_path, [], THINKING)
    assert nothing["responses"].sum() == 0 and nothing.schema == REMOVED


def test_a_part_that_holds_no_example_is_not_read(
    tmp_path: Path, shards: list[receipts.GradedShard]
) -> None:
    (tmp_path / shards[0].parts[1].responses.path).write_bytes(b"")
    boxes = Filters(max_rep_20=1)
    assert removed(tmp_path, shards, boxes)["responses"].to_list()[-1] == 1
    with pytest.raises(PoolError, match="is not what its receipt says"):
        removed(tmp_path, shards, THINKING)


@pytest.mark.parametrize("length", [0, 5, 2 * EXCERPT, 2 * EXCERPT + 1, 90_000])
def test_an_excerpt_shows_both_ends_in_one_line(length: int) -> None:
    text = "".join(chr(97 + index % 26) for index in range(length))
    shown = excerpt(text)
    if length <= 2 * EXCERPT:
        assert shown == excerpt(text, repeated=True) == text
    else:
        assert shown.startswith(text[:EXCERPT]) and shown.endswith(text[-EXCERPT:])
        assert f"[… {length - 2 * EXCERPT:,} characters …]" in shown
    seam = "x" * EXCERPT + " " + "y" * 9
    assert excerpt(seam) == seam
    assert excerpt("a\n\tb\x00\u2028c") == "a b c"


def test_an_excerpt_of_a_repetitive_response_shows_what_is_repeated() -> None:
    words = [f"step {number} is new. " for number in range(60)]
    loop = "wait, let me try the other way round, no, that is wrong. " * 20
    text = "".join(words) + loop + "".join(reversed(words))
    assert "wait" not in excerpt(text)
    shown = excerpt(text, repeated=True)
    assert shown.count("let me try the other way round") >= 2
    assert shown.startswith("step 0 is new.") and shown.endswith("step 0 is new.")
    assert excerpt("so " * 200, repeated=True).startswith("so so so")


def test_the_page_shows_the_filters_and_no_markup_of_a_response(tmp_path: Path) -> None:
    config = make_config()
    results, pool = tmp_path / "results", tmp_path / "pool"
    write_results(results, pool, config)
    tables = gather(results, pool, config, graded_shards(results))
    assert tables.removed["responses"].sum() == 0
    page = render(tables, config)
    assert "Dropped by the quality filters from stories" in page
    assert "Examples of what was dropped" not in page
    example = {"problem_id": EVIL, "sample": 3, "measured": "rep_20 = 0.80", "text": EVIL}
    spoilt = tables.removed.head(1).with_columns(
        examples=pl.Series([[example]], dtype=REMOVED["examples"])
    )
    page = render(replace(tables, removed=spoilt), config)
    assert "Examples of what was dropped from stories" in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2
    assert "<script" not in without_scripts(page) and "rep_20 = 0.80" in page
