"""Conventions: what each setting does, and which collected cases ask for which."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import TypeAdapter, ValidationError

from ssgr.config.conventions import DEFAULT, NamedConventions
from ssgr.grading import PRESETS, Conventions, Verdict, judge, judge_response
from ssgr.grading.golds import read_gold
from ssgr.grading.notation import normalise
from ssgr.grading.quantities import parse_quantity
from ssgr.grading.workers import judge_pairs

SHARED = os.environ.get("SSGR_SHARED_DATA")
needs_shared = pytest.mark.skipif(not SHARED, reason="SSGR_SHARED_DATA is not set")

# --- what a setting does --------------------------------------------------------------------------

SETTINGS: list[tuple[dict[str, Any], str, str, bool, bool]] = [
    # settings, gold, answer, by default, with the settings
    ({"unit_may_be_added": False}, "104", r"104\text{ cm}", True, False),
    ({"unit_may_be_dropped": False}, "10cm", "10", True, False),
    ({"unit_may_be_dropped": False}, "10cm", r"10 \text{ centimeters}", True, True),
    ({"degree_sign": "counts"}, "45", r"45^\circ", True, False),
    ({"degree_sign": "counts"}, r"45^\circ", "45 degrees", True, True),
    ({"percent_sign": "counts"}, "73", r"73\%", True, False),
    ({"percent_sign": "counts"}, "0.73", r"73\%", True, True),
    ({"order": "kept"}, "-5, 7", "7, -5", True, False),
    ({"order": "kept"}, "a, b+1", "1+b, a", True, False),
    ({"order": "kept"}, "a, b+1", "a, 1+b", True, True),
    ({"order": "kept"}, r"\{1, 2\}", r"\{2, 1\}", True, True),
    ({"decimal_comma": True}, "1.22", "1,22", False, True),
    ({"decimal_comma": True}, "1000", "1,000", True, True),
    ({"relation_as_interval": False}, "(1,2)", "1<x<2", True, False),
    ({"relation_as_interval": False}, "1<x<2", "(1,2)", True, False),
    ({"approximate_tail": False}, "1/3", r"1/3 \approx 0.3", True, False),
    ({"unreduced": False}, r"\frac{14}{3}", r"\frac{28}{6}", True, False),
    ({"unsimplified": False}, "16", "15+1", True, False),
    ({"unsimplified": False}, "16", "16.0", True, True),
    ({"tolerance": 1e-2}, "100", "100.009", False, True),
    ({"tolerance": 1e-8}, "100", "100.0000005", True, False),
    ({"relative_tolerance": 1e-4}, r"40\pi", "125.663", False, True),
    ({"relative_tolerance": 1e-4}, r"(\frac{3}{5},\frac{8}{3}]", "(0.6,2.6667]", False, True),
    ({"relative_tolerance": 1e-4}, r"(\frac{3}{5},\frac{8}{3}]", "(0.6,2.6667)", False, False),
    ({"relative_tolerance": 1e-4}, "100", "100.02", False, False),
    ({"absolute_tolerance": 0.1}, r"2\sqrt{5}", "4.5", False, True),
    ({"absolute_tolerance": 0.1}, "100", "100.2", False, False),
    ({"rounded_to": 3}, "1/3", "0.333", False, True),
    ({"rounded_to": 3}, "1/3", "0.33", False, False),
    ({"rounded_to": 3}, r"\sqrt{3}", "1.732", False, True),
    ({"rounded_to": 3}, r"\sqrt{3}", "1.733", False, False),
    ({"integer_range": [0, 999]}, "1000", "1000", True, False),
    ({"integer_range": [0, 999]}, "073", "73", True, True),
]


@pytest.mark.parametrize(("fields", "gold", "answer", "by_default", "with_them"), SETTINGS)
def test_setting(
    fields: dict[str, Any], gold: str, answer: str, by_default: bool, with_them: bool
) -> None:
    conventions = Conventions.model_validate(fields)
    assert (judge(gold, answer).verdict == "correct") == by_default
    assert (judge(gold, answer, conventions).verdict == "correct") == with_them


EXTRACTION: list[tuple[dict[str, Any], str, str | None, str | None]] = [
    # settings, response, extracted by default, extracted with the settings
    ({"thinking": "required"}, r"so \boxed{5}", "5", None),
    ({"thinking": "required"}, r"hm</think>\boxed{5}", "5", "5"),
    ({"boxes": "joined"}, r"\boxed{1}, \boxed{2} and \boxed{3}", "3", "1, 2, 3"),
    ({"boxes": "joined"}, r"$\boxed{1}$ \text{ or } $\boxed{2}$", "2", "1, 2"),
    ({"boxes": "joined"}, r"first \boxed{1}, but no: \boxed{2}", "2", "2"),
    ({"unclosed_box": True}, r"it is $\boxed{1210", None, "1210"),
    ({"unboxed": "final"}, "The answer is 42", None, "42"),
    ({"unboxed": "final"}, r"Answer \( 9 \)", None, "9"),
    ({"unboxed": "final"}, "The largest $n$ is 34. I hope it is correct.", None, "34"),
    ({"unboxed": "final"}, "we get 9/3, so the answer is 12,000,023.", None, "12,000,023"),
    ({"unboxed": "final"}, r"so \boxed{}", None, None),
]


@pytest.mark.parametrize(("fields", "response", "by_default", "with_them"), EXTRACTION)
def test_extraction_setting(
    fields: dict[str, Any], response: str, by_default: str | None, with_them: str | None
) -> None:
    assert judge_response("1", response).extracted == by_default
    conventions = Conventions.model_validate(fields)
    assert judge_response("1", response, conventions).extracted == with_them


@pytest.mark.parametrize(
    ("response", "marked", "anywhere"),
    [
        ("Answer: B", "B", "B"),
        ("the final option is C", None, "C"),
        ("we ruled out A, then B, settled on C", None, "C"),
        ("A. Because B is not valid", None, "A"),
        ("The answer: D, it does not make sense for it to be A", "D", "D"),
        ("I think it is A good question", None, None),
    ],
)
def test_letters_without_a_box(response: str, marked: str | None, anywhere: str | None) -> None:
    lenient = Conventions(unboxed_letter="anywhere")
    assert judge_response("A", response, method="choice").extracted == marked
    assert judge_response("A", response, lenient, method="choice").extracted == anywhere


def test_number_of_options() -> None:
    assert judge_response("E", "Answer: E", method="choice").verdict == "correct"
    gpqa = judge_response("A", "Answer: E", PRESETS["gpqa"], method="choice")
    assert gpqa.verdict == "no-answer"


def test_pattern() -> None:
    hashes = Conventions(pattern=r"#### (-?[0-9.,]+)")
    assert judge_response("72", "so\n#### 72", hashes, method="pattern").verdict == "correct"
    assert judge_response("72", "so 72", hashes, method="pattern").verdict == "no-answer"


def test_golds_with_several_answers_a_unit_and_a_tolerance() -> None:
    raw = json.dumps({"final_answer": ["$2.5$"], "unit": "cm", "error": "1e-1"})
    text, conventions = read_gold(raw, DEFAULT)
    assert (text, conventions.absolute_tolerance) == (r"$2.5$\text{ cm}", 0.1)
    assert judge(raw, "2.58").verdict == "correct"
    assert judge(raw, "2.7").verdict == "wrong"
    assert judge(raw, "2.5 m").verdict == "wrong"
    assert judge(raw, "2.58", PRESETS["olympiadbench"]).verdict == "correct"
    assert judge("0.64N", "0.64", PRESETS["olympiadbench"]).verdict == "wrong"
    assert judge(json.dumps(["$2^{-2 / 3}$, $8$"]), r"8, 2^{-2/3}").verdict == "correct"
    assert judge(json.dumps(["7", "4"]), "4, 7").verdict == "correct"
    assert read_gold("[1, 2]", DEFAULT) == ("[1, 2]", DEFAULT)
    assert read_gold('{"a', DEFAULT) == ('{"a', DEFAULT)


def test_presets_by_name() -> None:
    named = TypeAdapter(NamedConventions)
    assert named.validate_python("aime") is PRESETS["aime"]
    assert named.validate_python({"order": "kept"}).order == "kept"
    with pytest.raises(ValidationError, match=r"'amie'.*'aime'"):
        named.validate_python("amie")
    assert all(field.description for field in Conventions.model_fields.values())


# --- the collected cases --------------------------------------------------------------------------

STRICT_UNITS: dict[str, Any] = {"unit_may_be_added": False, "unit_may_be_dropped": False}
ASKED_BY: dict[tuple[str, bool], dict[str, Any]] = {
    # (convention of the cases, expected): the settings that the upstream grader stands for
    ("answer-must-be-boxed", False): {"unboxed": "refuse"},
    ("answer-must-follow-</think>", False): {"thinking": "required"},
    ("approx-tail", True): {"approximate_tail": True},
    ("approximation", True): {"relative_tolerance": 1e-4},  # MARIO_EVAL, Qwen2.5-Math
    ("comma-space", False): {},
    ("decimal-comma", True): {"decimal_comma": True, "unboxed": "final"},  # Math-Verify
    ("degree-added", True): {"degree_sign": "optional"},
    ("extractor-specific", False): {"unboxed": "refuse"},
    ("gold-is-text", True): {},
    ("list-order", True): {"order": "any"},  # OlympiadBench, Math-Verify
    ("list-order", False): {"order": "kept"},  # Hendrycks
    ("malformed-latex", True): {},
    ("multi-box-union", True): {"boxes": "joined"},  # Math-Verify, lighteval
    ("multi-box-union", False): {"boxes": "joined"},
    ("percent-added", True): {"percent_sign": "optional"},
    ("percent-as-number", True): {"unboxed": "final"},
    ("reasoning-contract", True): {},
    ("reasoning-contract", False): {"unboxed": "refuse"},
    ("relation-vs-set", True): {"relation_as_interval": True},
    ("rounding", False): {"rounded_to": None},
    ("unboxed-answer", True): {"unboxed": "final"},
    ("unboxed-answer", False): {"unboxed": "final"},
    ("unboxed-choice", True): {"unboxed_letter": "anywhere", "options": 10},
    ("unclosed-box", False): {"unclosed_box": False},
    ("unit-added", True): {"unit_may_be_added": True},
    ("unit-dropped", True): {"unit_may_be_dropped": True},  # MARIO_EVAL, Math-Verify
    ("unit-dropped", False): STRICT_UNITS,  # OlympiadBench: 0.64N is not 0.64
    ("unreduced", True): {"unreduced": True},
    ("unsimplified", True): {"unsimplified": True},
}
EXCUSED = {r"\\boxed{W(n) = 1 \\text{ and } W(n) = -1"}
"""A gold that is broken LaTeX: no setting makes it right."""


def cases() -> list[dict[str, Any]]:
    assert SHARED is not None
    lines = (Path(SHARED) / "grading_cases.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def judged(case: dict[str, Any], conventions: Conventions, method: str = "math") -> Verdict:
    judging = judge_response if case["form"] == "response" else judge
    return judging(case["gold"], case["prediction"], conventions, method=method)


@needs_shared
def test_core_cases() -> None:
    core = [case for case in cases() if case["convention"] is None]
    accepted = [judged(case, DEFAULT).verdict == "correct" for case in core]
    wrong = [case for case, yes in zip(core, accepted, strict=True) if yes != case["expected"]]
    print(f"{len(core) - len(wrong)} of {len(core)} right")
    assert [case for case in wrong if not case["expected"]] == []
    assert len(wrong) <= 2, wrong


@needs_shared
def test_each_convention_does_what_it_says() -> None:
    for case in cases():
        if case["convention"] is None or case["gold"] in EXCUSED:
            continue
        conventions = Conventions(**ASKED_BY[case["convention"], case["expected"]])
        method = "choice" if case["convention"] == "unboxed-choice" else "math"
        verdict = judged(case, conventions, method)
        assert (verdict.verdict == "correct") == case["expected"], (case, verdict)


# --- the golds ------------------------------------------------------------------------------------


def golds() -> list[str]:
    assert SHARED is not None
    tables = map(pl.read_parquet, sorted((Path(SHARED) / "problems").glob("*.parquet")))
    answers = [table["answer"] for table in tables if "answer" in table.columns]
    return pl.concat(answers).unique(maintain_order=True).to_list()


@needs_shared
@pytest.mark.parametrize("method", ["numeric", "math-verify"])
def test_every_gold_equals_itself(method: str) -> None:
    pairs = [(gold, rf"\boxed{{{gold}}}") for gold in golds()]
    if method == "numeric":
        pairs = [pair for pair in pairs if pair[0].isdigit()]
    verdicts = judge_pairs(pairs, method=method)
    assert {pair: v for pair, v in verdicts.items() if v.verdict != "correct"} == {}


DATA_SETS = {
    "aime2024": "aime",
    "gsm8k_test": "gsm8k",
    "gsm8k_train": "gsm8k",
    "math500": "math",
    "math_train": "math",
    "olympiadbench": "olympiadbench",
    "olympiadbench_meta": "olympiadbench",  # several answers, units and tolerances
}


TRULY_EQUAL = {frozenset((r"-\frac{1}{\sqrt{2}}", r"-\frac{\sqrt{2}}{2}"))}
"""Of the data sets' golds, those that say the same by another expression."""


def golds_of(name: str) -> list[str]:
    assert SHARED is not None
    table = pl.read_parquet(Path(SHARED) / "problems" / f"{name}.parquet")
    if "answer" in table.columns:
        return table["answer"].unique().to_list()
    fields = ("final_answer", "unit", "error")
    return sorted({json.dumps(row) for row in table.select(fields).iter_rows(named=True)})


@needs_shared
@pytest.mark.parametrize("name", DATA_SETS)
def test_golds_of_each_data_set_by_its_own_conventions(name: str) -> None:
    """Each gold equals itself in a box, and none of its neighbours by digits and by length."""
    conventions = PRESETS[DATA_SETS[name]]
    texts = {gold: read_gold(gold, conventions)[0] for gold in golds_of(name)}
    by_digits = sorted(texts, key=lambda gold: (sorted(filter(str.isdigit, gold)), gold))
    by_length = sorted(texts, key=lambda gold: (len(gold), gold))
    pairs = {
        (one, texts[other])
        for order in (by_digits, by_length)
        for one, other in zip(order, order[1:] + order[:1], strict=True)
    }
    itself = {(gold, rf"\boxed{{{text}}}") for gold, text in texts.items()}
    verdicts = judge_pairs([*itself, *pairs], conventions=conventions)
    assert {pair for pair in itself if verdicts[pair].verdict != "correct"} == set()
    accepted = {(texts[one], other) for one, other in pairs
                if verdicts[one, other].verdict != "wrong"}  # fmt: skip
    unlike = {frozenset(pair) for pair in accepted if bare(pair[0]) != bare(pair[1])}
    assert unlike <= TRULY_EQUAL


def bare(gold: str) -> str:
    """The gold's value without units and signs that may be left out, and without a name."""
    return parse_quantity(normalise(gold).rpartition("=")[2]).value.replace(" ", "")


@needs_shared
def test_every_data_set_is_looked_at() -> None:
    found = {path.stem for path in (Path(str(SHARED)) / "problems").glob("*.parquet")}
    assert found == set(DATA_SETS)
