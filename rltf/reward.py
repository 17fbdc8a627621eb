"""Rewards for other trainers, without Ray or torch: a reward function as TRL's GRPOTrainer calls it, and a plain call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from contracts.errors import UserError
from contracts.records import Outcome, Problem, Verdict
from contracts.rewards import adaptive_reward, coarse_reward
from contracts.sections import RewardsConfig
from executors.pool import Job, Pool
from models.answers import AnswerForm
from problems.read import read_problems
from rltf.judging import Compare, Lookup, executors_config

Completion = str | Sequence[Mapping[str, Any]]
"""A completion's text, or its chat messages."""
_COLUMNS = ("problem_id", "task_id", "entry_point", "test")


class UnitTestReward:
    """Rewards programs by unit tests. A context manager: it keeps warm processes, `cores` of them working at a time.

    problems: a problem set in any form (docs/problems.md); unset: rows carry `entry_point` and `test`.
    compare: `strict`, or `apps` for what the APPS harness accepts and imports.
    cores: all where unset; several trainers on one machine should share them out.
    feedback: `coarse` is R_coarse; `adaptive` is R_adaptive, and R_coarse for a program that raised an error, which has none.
    rewards: the reward table; unset: the published runs'.
    settings: other keys of a recipe's section `executors`, for example cpu_seconds=5.
    Raises UserError for a bad problem set or setting, and where this machine cannot isolate programs.
    """

    def __init__(
        self,
        problems: str | Path | None = None,
        *,
        compare: Compare = "strict",
        cores: int | None = None,
        feedback: Literal["coarse", "adaptive"] = "coarse",
        rewards: RewardsConfig | None = None,
        **settings: Any,
    ) -> None:
        if feedback not in ("coarse", "adaptive"):
            raise UserError(f"feedback={feedback!r} is not known", "Set it to coarse or adaptive")
        self.__name__ = f"unit_tests_{feedback}"
        self._adaptive = feedback == "adaptive"
        self._rewards = rewards or RewardsConfig()
        self._lookup = Lookup(read_problems(Path(problems))[0] if problems is not None else ())
        self._closed = False
        self._pool = Pool(executors_config(compare, cores, **settings), self._rewards)

    def __call__(
        self,
        prompts: object = None,  # noqa: ARG002 - the place that TRL's signature gives it
        completions: Sequence[Completion] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """One reward per completion; None where the sandbox failed, which TRL leaves out.

        Columns are lists as long as `completions`: `problem_id` or `task_id`, or `entry_point` and `test`; others, and `prompts`,
        are ignored. Programs are taken out of code fences. Raises UserError for columns that name no problem or are of another
        length, for a completion without text, and after `close`.
        """
        self._check_open()
        if completions is None:
            raise UserError("there are no completions", "Call it as reward(prompts, completions, problem_id=…)")
        for name in _COLUMNS:
            column = columns.get(name)
            if column is not None and (isinstance(column, str) or len(column) != len(completions)):
                lists = f"{name} is no list of one value for each of the {len(completions)} completions"
                raise UserError(lists, "Give every completion its own value")
        return [self.reward(verdict) for verdict in self._pool.judge_all(self._jobs(completions, columns))]

    def judge(self, problem: str | int | Problem | Mapping[str, Any], code: str) -> Verdict:
        """The verdict on a program, as it is, by a problem of the set, one of your own, or a row with `entry_point` and `test`.

        Raises UserError where there is no such problem, and after `close`.
        """
        self._check_open()
        try:
            if isinstance(problem, Mapping):
                _, problem = self._lookup.of_row(problem)
            elif not isinstance(problem, Problem):
                problem = self._lookup.by_id(problem)
        except ValueError as err:
            raise _unknown(err) from err
        return self._pool.judge(problem, code)

    def reward(self, verdict: Verdict) -> float | None:
        """What a verdict earns; None for a SANDBOX_ERROR."""
        if verdict.outcome is Outcome.SANDBOX_ERROR:
            return None
        adaptive = adaptive_reward(verdict, self._rewards) if self._adaptive else None
        return coarse_reward(verdict, self._rewards) if adaptive is None else adaptive

    def close(self) -> None:
        """End the processes."""
        self._closed = True
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UserError("this UnitTestReward is closed", "Call it before close(), within its with block, or make another")

    def _jobs(self, completions: Sequence[Completion], columns: Mapping[str, Any]) -> Iterator[Job]:
        used = {name: columns[name] for name in _COLUMNS if columns.get(name) is not None}
        for at, completion in enumerate(completions):
            try:
                _, problem = self._lookup.of_row({name: column[at] for name, column in used.items()})
            except ValueError as err:
                raise _unknown(err) from err
            yield Job(problem, program_in(completion, problem.fn_name))


def program_in(completion: Completion, fn_name: str | None = None) -> str:
    """The last Python code block of a completion (that defines `fn_name`), or the whole of it where it has none; of a chat, the
    last message's.

    Raises UserError for what is neither text nor messages of which the last has text.
    """
    try:
        text = completion if isinstance(completion, str) else completion[-1]["content"]
    except (TypeError, LookupError):
        text = None
    if not isinstance(text, str):
        raise UserError(f"the completion {completion!r:.80} has no text", "Give text, or chat messages with content")
    answer = AnswerForm("fence").read(text, fn_name=fn_name)
    return answer.prefix + text[answer.start : answer.end]


def _unknown(err: Exception) -> UserError:
    return UserError(f"a row's problem is unknown: {err}", "Give it a problem_id of the problem set, or entry_point and test")
