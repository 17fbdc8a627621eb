"""A run folder as the driver leaves it, made up: numbers like those of the small run, no training behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contracts import metrics
from contracts.config import Recipe
from contracts.metrics import labelled
from contracts.recipe import write_recipe
from contracts.records import Category, Detail, Outcome
from contracts.sections import MonitorConfig
from contracts.summary import Evaluation, Lag, StageResult, Summary, write_summary
from rltf.examples import Example, append_examples
from rltf.monitor import Monitor

STEPS = 110
SAMPLES_PER_STEP = 128
START_MIX = (0.30, 0.20, 0.20, 0.30)
FINAL_MIX = (0.53, 0.22, 0.11, 0.14)
OUTCOMES = (Outcome.PASS, Outcome.FAILURE, Outcome.RUNTIME_ERROR, Outcome.SYNTAX_ERROR)


def result(sampled: float, greedy: float, mix: tuple[float, ...] = START_MIX, error: float = 0.02) -> StageResult:
    """An evaluation whose pass@1 at T = 1.0 is `sampled`, with `error` as its standard error."""
    outcomes = {outcome.value: share for outcome, share in zip(OUTCOMES, mix, strict=True)}

    def at(temperature: float, samples: int, rate: float) -> Evaluation:
        rates = {"1": rate} if samples == 1 else {"1": rate, "5": min(1.0, rate + 0.25)}
        return Evaluation(
            temperature=temperature,
            samples_per_problem=samples,
            pass_at_k=rates,
            standard_error=error,
            outcomes=outcomes,
        )

    evaluations = {"T=1.0": at(1.0, 8, sampled), "T=0.6": at(0.6, 8, sampled + 0.2), "greedy": at(0.0, 1, greedy)}
    return StageResult(pass_at_1=sampled, problems=150, judged_by="hidden tests", evaluations=evaluations)


def summary(**changes: object) -> Summary:
    """A finished run's summary with some fields changed."""
    fields: dict[str, object] = {
        "name": "fake",
        "status": "done",
        "seed": 3,
        "steps": STEPS,
        "start": result(0.30, 0.77),
        "control": result(0.33, 0.78, (0.33, 0.22, 0.18, 0.27)),
        "final": result(0.52, 0.79, FINAL_MIX),
        "versions_published": STEPS,
        "samples_labelled": 14_464,
        "samples_trained": 14_080,
        "samples_evicted": {"displaced": 256, "too old": 128},
        "outcomes": {"pass": 6_020, "failure": 3_150, "runtime_error": 2_330, "syntax_error": 2_964},
        "errors": {"SyntaxError": 2_700, "NameError": 1_480, "IndentationError": 264, "ValueError": 410, "timeout": 65},
        "lag": Lag(mean=1.7, maximum=3, bound=4, formula="sync_every + ⌈capacity / batch⌉ + in-flight batches"),
        "seconds": {"warm start": 148.0, "evaluation": 31.0, "control": 70.0, "online": 205.0},
        "step_seconds": 1.86,
        "problems": {"train": 3_000, "heldout": 150},
        "model": {"architecture": "LlamaForCausalLM", "parameters": 381_600},
        "versions": {"python": "3.11.2", "torch": "2.13.0", "ray": "2.60.0", "deepspeed": "0.19.8"},
    }
    return Summary(**(fields | changes))  # type: ignore[arg-type]


def tokens(*words: str) -> dict[str, object]:
    """Text and character offsets of a program of these tokens."""
    ends = [sum(len(word) for word in words[: place + 1]) for place in range(len(words))]
    starts = [end - len(word) for word, end in zip(words, ends, strict=True)]
    return {"text": "".join(words), "starts": starts, "ends": ends}


def example(**changes: object) -> Example:
    """A program whose second line, `n = lenn(s)`, is penalised, each of its five tokens."""
    fields: dict[str, object] = {
        **tokens("s", " =", " input", "()", "\n", "n", " =", " len", "n", "(s)", "\n", "print", "(n)", "\n", ""),
        "step": 12,
        "policy_version": 10,
        "problem_id": "primer/length/17",
        "question": "Read a line and print how many characters it has.",
        "penalised": [5 <= place < 10 for place in range(15)],
        "outcome": Outcome.RUNTIME_ERROR,
        "detail": Detail.EXCEPTION,
        "error_type": "NameError",
        "message": "name 'lenn' is not defined",
        "passed": 0,
        "total": 8,
        "category": Category.LINE,
        "coarse": -0.6,
        "fine": -0.3,
        "adaptive": None,
    }
    return Example(**(fields | changes))  # type: ignore[arg-type]


def passing() -> Example:
    """A program that passes: nothing is penalised."""
    return example(
        **tokens("s", " =", " input", "()", "\n", "print", "(", "len", "(s)", ")", ""),
        step=96,
        policy_version=94,
        penalised=[False] * 11,
        outcome=Outcome.PASS,
        detail=None,
        error_type=None,
        message="",
        passed=8,
        category=None,
        coarse=1.0,
        fine=0.0,
        adaptive=1.0,
    )


def without_colon() -> Example:
    """A syntax error: the whole line is penalised, its newline too."""
    return example(
        **tokens(
            "t = 0",
            "\n",
            "for",
            " x",
            " in",
            " input",
            "()",
            ".split",
            "()",
            "\n",
            "    t",
            " +=",
            " int",
            "(x)",
            "\n",
            "print",
            "(t)",
        ),
        step=3,
        policy_version=2,
        problem_id="primer/positive-sum/4",
        question="Add up the positive numbers of a line.",
        penalised=[2 <= place < 10 for place in range(17)],
        outcome=Outcome.SYNTAX_ERROR,
        error_type="SyntaxError",
        message="expected ':'",
        coarse=-1.0,
    )


def undefined_on_a_path_not_taken() -> Example:
    """A failure in which static analysis found `coutn`, in a branch that no test came to."""
    return example(
        **tokens("n", " = 0", "\n", "if", " n", ":", "\n", "    n", " = ", "cou", "tn", "\n", "print", "(n)", "\n", ""),
        step=50,
        policy_version=48,
        penalised=[False] * 16,
        static=[9 <= place < 11 for place in range(16)],
        findings=["undefined name 'coutn'"],
        outcome=Outcome.FAILURE,
        detail=None,
        error_type=None,
        message="",
        passed=3,
        category=None,
        coarse=-0.3,
        fine=0.0,
        adaptive=0.19,
    )


def record_steps(folder: Path, steps: int = STEPS, seed: int = 3) -> None:
    """metrics.jsonl of the online stage: outcomes drift from START_MIX to FINAL_MIX."""
    rng = np.random.default_rng(seed)
    totals = np.zeros(len(OUTCOMES))
    with Monitor("fake", folder, MonitorConfig(prometheus_port=0)) as monitor:
        for step in range(1, steps + 1):
            way = min(1.0, step / STEPS)
            mix = (1 - way) * np.array(START_MIX) + way * np.array(FINAL_MIX)
            drawn = rng.multinomial(SAMPLES_PER_STEP, mix)
            totals += drawn
            share = drawn / SAMPLES_PER_STEP
            monitor.record("online", _row(step, share, totals, rng))


def _row(step: int, share: np.ndarray, totals: np.ndarray, rng: np.random.Generator) -> dict[str, float | dict[str, float]]:
    noise = rng.normal(size=4)
    return {
        metrics.STEP.name: step,
        metrics.PROGRAMS.name: {
            labelled("train", difficulty, outcome): float(total * (part if outcome is Outcome.PASS else 0.5))
            for outcome, total in zip(OUTCOMES, totals, strict=True)
            for difficulty, part in (("introductory", 0.8), ("interview", 0.2))
        },
        metrics.PASS_RATE.name: float(share[0]),
        metrics.REWARD_COARSE.name: float(share @ np.array([1.0, -0.3, -0.6, -1.0])),
        metrics.REWARD_ADAPTIVE.name: float((share[0] + 0.1 * share[1]) / (share[0] + share[1])),
        metrics.PENALISED.name: float(0.25 * (share[2] + share[3])),
        metrics.LAG_MEAN.name: float(1.7 + 0.2 * noise[0]),
        metrics.LAG_MAX.name: float(rng.integers(2, 4)),
        metrics.STEP_SECONDS.name: float(1.86 + 0.15 * abs(noise[1])),
        metrics.LOSS.name: {
            "sl": float(0.16 + 0.01 * noise[2]),
            "coarse": float(-0.02 * share[0] + 0.004 * noise[3]),
            "fine": float(-0.3 * share[3] + 0.004 * noise[0]),
            "adaptive": float(0.01 * noise[1]),
        },
        **_signals(step, share, noise),
        metrics.PHASE_SECONDS.name: {"sampling": 0.65 * step, "executing": 0.5 * step, "learning": 0.7 * step},
    }


def _signals(step: int, share: np.ndarray, noise: np.ndarray) -> dict[str, float]:
    """What the objective was given, of a recipe without importance weights: nothing is clipped."""
    way = step / STEPS
    apart = 0.004 + 0.001 * abs(noise[0])
    return {
        metrics.ADVANTAGE_MEAN.name: float(-0.2 * share[3] + 0.01 * noise[1]),
        metrics.ADVANTAGE_SIZE.name: float(0.5 - 0.2 * way + 0.02 * noise[2]),
        metrics.ZERO_VARIANCE.name: float(0.1 + 0.3 * way),
        metrics.STATIC.name: float(0.1 * share[2]),
        metrics.POLICY_ENTROPY.name: float(0.9 - 0.5 * way + 0.02 * noise[3]),
        metrics.ENTROPY.name: float(0.91 - 0.5 * way + 0.03 * noise[0]),
        metrics.KL_BEHAVIOUR.name: float(apart),
        metrics.RATIO_MEAN.name: float(1 + 0.005 * noise[1]),
        metrics.RATIO_MAX.name: float(2 + abs(noise[2])),
        metrics.EFFECTIVE.name: float(1 / (1 + 2 * apart)),
        metrics.CLIPPED.name: 0.0,
    }


def write_run(folder: Path, **changes: object) -> Path:
    """A finished run's folder; `changes` go into its summary."""
    folder.mkdir(parents=True, exist_ok=True)
    write_recipe(Recipe(name="fake", steps=STEPS, control=True), folder / "config.yaml")
    record_steps(folder)
    write_summary(summary(**changes), folder / "summary.json")
    append_examples(folder, [without_colon(), example(), passing()])
    return folder
