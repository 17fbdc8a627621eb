"""The report's first sentence: what came out, and no more than that."""

import msgspec
import pytest
from fake_run import result, summary

from contracts.summary import StageResult
from rltf.report import headline


def test_headline_of_a_run_that_beats_its_control() -> None:
    assert headline(summary(), 1.0) == (
        "Held-out pass@1 at T = 1.0 rose from 0.30 ± 0.02 to 0.52 ± 0.02; "
        "as many supervised steps alone reached 0.33 ± 0.02: RLTF is ahead by 0.19 ± 0.03."
    )


def test_headline_of_a_run_that_is_worse_than_its_control() -> None:
    assert headline(summary(control=result(0.60, 0.8)), 1.0).endswith("reached 0.60 ± 0.02: RLTF is behind by 0.08 ± 0.03.")


def test_headline_of_a_run_that_got_worse() -> None:
    text = headline(summary(final=result(0.20, 0.5)), 1.0)
    assert text.startswith("Held-out pass@1 at T = 1.0 fell from 0.30 ± 0.02 to 0.20 ± 0.02; ")
    assert text.endswith("RLTF is behind by 0.13 ± 0.03.")


def test_headline_claims_nothing_within_two_standard_errors() -> None:
    # the error of a difference is 0.02 · √2: 0.056 is less than two of it, 0.057 is more
    text = headline(summary(final=result(0.356, 0.8)), 1.0)
    assert "did not change by more than chance may: 0.30 ± 0.02 before, 0.36 ± 0.02 after" in text
    assert text.endswith("the two cannot be told apart (difference 0.03 ± 0.03).")
    assert "rose from 0.30" in headline(summary(final=result(0.357, 0.8)), 1.0)


def _of(problems: int, *rates: float, error: float = 0.0) -> dict[str, StageResult]:
    """Start, control and final, evaluated on so many problems."""
    found = [msgspec.structs.replace(result(rate, 0.8, error=error), problems=problems) for rate in rates]
    return dict(zip(("start", "control", "final"), found, strict=True))


def test_headline_claims_nothing_of_a_few_problems() -> None:
    assert headline(summary(**_of(1, 0.5, 0.88, 1.0)), 1.0) == (
        "Held-out pass@1 at T = 1.0 was 0.50 before and 1.00 after online training, and 0.88 after as many supervised "
        "steps alone: 1 held-out problem, too few to claim a difference."
    )
    said = [headline(summary(**_of(count, 0.3, 0.3, 0.6, error=0.1)), 1.0) for count in (9, 10)]
    assert said[0].endswith("9 held-out problems, too few to claim a difference.")
    assert "rose from 0.30" in said[1]


def test_headline_without_an_error_claims_what_the_interval_of_problems_that_agree_leaves() -> None:
    # of 150 that agree, others may be a share of 1 - 0.025^(1/150) = 0.0243: 0.02 is less than it, 1 is not
    text = headline(summary(**_of(150, 0.0, 0.98, 1.0)), 1.0)
    assert "rose from 0.00 ± 0.00 to 1.00 ± 0.00" in text
    assert text.endswith("the two cannot be told apart (difference 0.02 ± 0.00).")


def test_headline_takes_the_asked_temperature() -> None:
    assert headline(summary(), 0.6).startswith("Held-out pass@1 at T = 0.6 rose from 0.50 ± 0.02 to 0.72 ± 0.02")


def test_headline_shows_small_rates_with_enough_digits() -> None:
    text = headline(summary(start=result(0.0101, 0.1, error=0.0011), final=result(0.0147, 0.1, error=0.0012), control=None), 1.0)
    assert "rose from 0.010 ± 0.001 to 0.015 ± 0.001" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"control": None}, "Whether supervised steps alone would have done as much was not tried."),
        ({"final": None}, "was 0.30 ± 0.02 before online training; there is no result after it yet."),
        ({"start": None}, "is 0.52 ± 0.02 after online training; there is no result from before it."),
        ({"start": None, "control": None, "final": None}, "No model of this run has been evaluated yet."),
    ],
)
def test_headline_says_what_is_missing(changes: dict, words: str) -> None:
    assert headline(summary(**changes), 1.0).endswith(words)


@pytest.mark.parametrize(
    ("control", "words"),
    [
        (result(0.33, 0.8), "is 0.30 ± 0.02 before and 0.33 ± 0.02 after the control's supervised steps"),
        (None, "is 0.30 ± 0.02"),
    ],
)
def test_headline_of_a_run_without_online_training_by_choice(control: StageResult | None, words: str) -> None:
    text = headline(summary(final=None, control=control), 1.0, online=False)
    assert text == f"Held-out pass@1 at T = 1.0 {words}; the recipe asks for no online training."
