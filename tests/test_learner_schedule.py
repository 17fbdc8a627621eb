"""The learning rate's schedule, and what the corpus yields at which step."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from contracts.config import Recipe
from contracts.errors import UserError
from contracts.records import Problem
from contracts.sections import SamplingConfig
from contracts.training import OptimizerConfig
from learner.corpus import Corpus
from learner.engine import TorchEngine, rate_factor
from models.prompts import build_prompt
from tests.tiny_models import problem, tiny_model, tiny_tokenizer


def factors(steps: list[int], total: int, **fields: object) -> list[float]:
    config = OptimizerConfig(**fields)  # type: ignore[arg-type]
    return [rate_factor(step, config, total) for step in steps]


def test_warm_up_climbs_from_the_first_step_and_the_constant_schedule_stays() -> None:
    assert factors([0, 1, 2, 3, 4, 99, 1000], 10, warmup_steps=4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0]
    assert factors([0, 5], 10) == [1.0, 1.0]


def test_falling_schedules_pass_their_middle_and_stay_at_the_end() -> None:
    linear = factors([3, 4, 8, 12, 50], 12, warmup_steps=4, schedule="linear", final_lr_ratio=0.1)
    assert linear == pytest.approx([1.0, 1.0, 0.55, 0.1, 0.1])
    cosine = factors([4, 6, 8, 12, 50], 12, warmup_steps=4, schedule="cosine", final_lr_ratio=0.2)
    quarter = 0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2
    assert cosine == pytest.approx([1.0, quarter, 0.6, 0.2, 0.2])


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_rates_climb_then_never_rise_and_stay_within_bounds(schedule: str) -> None:
    rates = factors(list(range(40)), 30, warmup_steps=7, schedule=schedule, final_lr_ratio=0.05)
    assert rates[:7] == sorted(rates[:7])
    assert rates[7:] == sorted(rates[7:], reverse=True)
    assert 0.05 <= min(rates) <= max(rates) == 1.0


def test_more_warm_up_than_steps_is_no_division_by_zero() -> None:
    assert factors([0, 4, 5], 5, warmup_steps=5, schedule="linear") == [0.2, 1.0, 1.0]


def test_the_engine_reports_the_rate_that_its_next_step_uses() -> None:
    model = tiny_model()
    engine = TorchEngine(model, OptimizerConfig(lr=0.5, warmup_steps=4, weight_decay=0), steps=10)
    moved = []
    for rate in (0.125, 0.25, 0.375, 0.5, 0.5):
        assert engine.learning_rate() == pytest.approx(rate)
        before = model.model.norm.weight.detach().clone()
        engine.backward(model.model.norm.weight.sum(), last=True)
        engine.step()
        moved.append((before - model.model.norm.weight).mean().item())
    # AdamW moves each weight by the rate where the gradient never changes (Kingma and Ba, section 2).
    assert moved == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5], rel=1e-4)
    assert not torch.isnan(model.model.norm.weight).any()


PROBLEMS = [
    problem("a", "Print 1.", corpus=("print(1)\n", "print(1 + 0)\n")),
    problem("b", "Print 2.", corpus=("print(2)\n",)),
    problem("c", "Print 3."),
]


def corpus(problems: list[Problem], max_new_tokens: int = 64) -> Corpus:
    recipe = Recipe(name="t", sampling=SamplingConfig(max_new_tokens=max_new_tokens))
    return Corpus(problems, tiny_tokenizer(), recipe)


def texts(rows: list[object]) -> list[str]:
    return [tiny_tokenizer().decode(row.token_ids, skip_special_tokens=True) for row in rows]  # type: ignore[attr-defined]


def test_corpus_rows_are_a_program_with_its_end_token_after_its_own_prompt() -> None:
    end = tiny_tokenizer().eos_token_id
    prompts = {
        text: build_prompt(one, tiny_tokenizer(), Recipe(name="t").prompt).token_ids for one in PROBLEMS for text in one.corpus
    }
    rows = corpus(PROBLEMS).draw(30, 0)
    assert len(corpus(PROBLEMS)) == 3
    assert set(texts(rows)) == set(prompts)
    for row, text in zip(rows, texts(rows), strict=True):
        assert row.token_ids[-1] == end
        assert row.prompt_ids == prompts[text]
        assert (row.advantages, row.fine, row.penalised) == ({}, 0.0, None)


def test_draws_are_a_pure_function_of_the_seed() -> None:
    used, fresh = corpus(PROBLEMS), corpus(PROBLEMS)
    for step in range(5):
        used.draw(3, 7, "online", step)
    assert used.draw(20, 7, "online", 9) == fresh.draw(20, 7, "online", 9)
    seeds: list[tuple[object, ...]] = [(7, "online", 9), (8, "online", 9), (7, "warmup", 9), (7, "online", 10)]
    assert len({tuple(texts(fresh.draw(20, *seed))) for seed in seeds}) == 4
    assert fresh.draw(8, 1) == fresh.draw(20, 1)[:8]


def limits() -> tuple[int, Callable[[str], int]]:
    def size(text: str) -> int:
        return len(tiny_tokenizer()(text).input_ids) + 1

    return size("print(1)\n"), size


def test_too_long_programs_are_passed_over() -> None:
    limit, size = limits()
    drawn = set(texts(corpus(PROBLEMS, limit).draw(40, 0)))
    assert drawn == {text for one in PROBLEMS for text in one.corpus if size(text) <= limit}
    assert drawn != {text for one in PROBLEMS for text in one.corpus}


def test_one_program_that_fits_among_very_many_is_found() -> None:
    limit, _ = limits()
    crowd = problem("long", corpus=tuple(f"print({'1 + ' * 20}{i})\n" for i in range(400)))
    assert texts(corpus([crowd, PROBLEMS[1]], limit).draw(2, 0)) == ["print(2)\n"] * 2


def test_a_corpus_without_a_program_that_fits_is_bad_input() -> None:
    with pytest.raises(UserError, match=r"sampling\.max_new_tokens=3.*learner\.sl_samples=0"):
        corpus(PROBLEMS, 3).draw(1, 0)


@pytest.mark.parametrize("problems", [[], [PROBLEMS[2]]])
def test_problems_without_solutions_are_bad_input(problems: list[Problem]) -> None:
    with pytest.raises(UserError, match=r"no solutions to imitate.*learner\.sl_samples=0"):
        corpus(problems).draw(1, 0)
