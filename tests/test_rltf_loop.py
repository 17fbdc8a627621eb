"""The online loop's own figures, on actors that are done when a clock says so."""

from __future__ import annotations

import math
import signal
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.actor import Sampled
from buffer.base import OnlineBuffer
from buffer.memory import MemoryBuffer
from buffer.redis_buffer import RedisBuffer
from contracts import metrics as m
from contracts.config import Recipe
from contracts.counts import Counts, number_of, numbers_of
from contracts.errors import RunError
from contracts.metrics import Value
from contracts.recipe import parse_recipe
from executors.actor import LabelReport
from problems.order import ProblemOrder
from rltf import loop as room
from rltf.loop import OnlineLoop
from rltf.pulse import Pulse
from rltf.runs import State
from tests.factories import labelled
from weights.publisher import Received


@dataclass(eq=False)
class Ref:
    """A future."""

    ready: float
    value: Any


@dataclass
class FakeRay:
    """Time goes on while someone waits, and only then."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def wait(self, refs: Sequence[Ref], num_returns: int, timeout: float) -> tuple[list[Ref], list[Ref]]:
        assert num_returns == 1
        self.waits.append(timeout)
        first = min(refs, key=lambda ref: ref.ready)
        assert first.ready < math.inf, "the loop waits for ever"
        self.now = max(self.now, min(first.ready, self.now + timeout))
        return ([first], []) if first.ready <= self.now else ([], list(refs))

    def get(self, ref: Ref) -> Any:
        return ref.value


class Draw:
    """A step that is done as soon as its groups wait."""

    def __init__(self, ray: FakeRay, buffer: OnlineBuffer, step: int) -> None:
        self._ray = ray
        self._buffer = buffer
        self._step = step

    @property
    def ready(self) -> float:
        return self._ray.now if len(self._buffer.waiting()) >= 2 else math.inf

    @property
    def value(self) -> Counts:
        self._buffer.draw([waiting.id for waiting in self._buffer.waiting()][:2], self._step)
        return {m.TRAINED.name: 4, m.LAG_MAX.name: 0}


@dataclass(eq=False)
class Remote:
    """An actor's method: what a call returns is there after so many seconds."""

    ray: FakeRay
    seconds: float
    call: Callable[..., Any]

    def options(self, *, num_returns: int) -> Remote:
        assert num_returns == 2
        return self

    def remote(self, *arguments: Any) -> Any:
        value = self.call(*arguments)
        ready = self.ray.now + self.seconds
        return tuple(Ref(ready, part) for part in value) if isinstance(value, tuple) else Ref(ready, value)


class Actor(SimpleNamespace):
    """An actor's handle."""

    __hash__ = object.__hash__


RECIPE = {
    "name": "r",
    "steps": 2,
    "deterministic": True,
    "actors": {"in_flight": 1},
    "sampling": {"samples_per_problem": 2, "problems_per_batch": 2},
    "learner": {"batch_samples": 4},
    "buffer": {"capacity": 8},
    "weights": {"sync_every": 1},
    "checkpoint": {"every": 0},
}


class FakeCluster:
    """A sampler that takes 3.5 s, an executor that appends at once and takes 1 s, a rank that draws at once and takes 1.5 s.

    Weights are with their samplers after 0.25 s and 0.5 s; programs say that they are of version 0.
    """

    def __init__(self, ray: FakeRay, buffer: OnlineBuffer, sandbox_errors: int = 0) -> None:
        self.recipe: Recipe = parse_recipe(RECIPE)
        self.ray = ray
        self._buffer = buffer
        self._sandbox_errors = sandbox_errors
        self.published: list[int] = []
        self.samplers = [Actor(sample=Remote(ray, 3.5, self._sample))]
        self.executors = [Actor(label=Remote(ray, 1.0, self._label))]
        self.ranks = [Actor(online_step=Remote(ray, 1.5, self._step))]

    def _sample(self, batch: int, ids: list[str], *_: object) -> tuple[int, Sampled]:
        return batch, Sampled(seconds=3.5, tokens=30, prompt_cut=len(ids))

    def _label(self, payload: Ref, *_: object) -> LabelReport:
        for key in ("a", "b"):
            self._buffer.append(labelled(f"{payload.value}{key}", version=0))
        counts: Counts = {
            m.PROGRAMS.name: {"train|easy|pass": 3, "train|easy|failure": 1},
            m.EVICTED.name: {"truncated": 1},
            m.JUDGED.name: 100,
            m.SANDBOX_ERRORS.name: self._sandbox_errors,
            m.PHASE_SECONDS.name: {"executing": 0.2},
        }
        return LabelReport(counts=counts)

    def _step(self, step: int) -> Counts:
        drawn = self._buffer.draw([waiting.id for waiting in self._buffer.waiting()], step)
        assert len(drawn) == 2
        return {
            m.LOSS.name: {"total": 0.5},
            m.TRAINED.name: 4,
            m.LAG.name: {"0.0": 3, "1.0": 1, "sum": 1.0},
            m.LAG_MAX.name: 1 - step,
            m.PHASE_SECONDS.name: {"learning": 1.25},
        }

    def publish(self, version: int) -> list[Ref]:
        self.published.append(version)
        arrivals = [Ref(self.ray.now + seconds, Received(version, None, 1000, seconds)) for seconds in (0.25, 0.5)]
        return [Ref(self.ray.now, None), *arrivals]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(room, "ray", fake)
    return fake


def run(ray: FakeRay, folder: Path, **cluster: int) -> tuple[OnlineLoop, list[Mapping[str, Value]], list[tuple[float, Counts]]]:
    """A loop at its end, the rows of its steps, and what it posted when."""
    posted: list[tuple[float, Any]] = []
    rows: list[Mapping[str, Value]] = []
    buffer = MemoryBuffer(parse_recipe(RECIPE).buffer)
    loop = OnlineLoop(
        FakeCluster(ray, buffer, **cluster),  # type: ignore[arg-type]
        buffer,
        ProblemOrder(["p", "q"], 0, 2),
        State(run="r"),
        lambda _step, metrics, _example: rows.append(metrics),
        lambda _: None,
        Pulse(lambda values: posted.append((ray.now, values)), folder, lambda: ray.now),
    )
    loop.run()
    return loop, rows, posted


def test_a_loop_that_waits_for_its_samplers_shows_each_second_that_it_lives(ray: FakeRay, tmp_path: Path) -> None:
    _, _, posted = run(ray, tmp_path)
    times = [time for time, _ in posted]
    assert times[:6] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert max(ray.waits) == 1.0
    first_batch = [numbers_of(values, m.PROGRAMS) for time, values in posted if time in (4.0, 5.0)]
    assert first_batch == [{}, {"train|easy|pass": 3, "train|easy|failure": 1}]
    assert all(number_of(values, m.DISK_FREE) > 0 for _, values in posted)


def test_a_step_counts_as_reported_when_its_row_is_whole_and_not_before(ray: FakeRay, tmp_path: Path) -> None:
    buffer = MemoryBuffer(parse_recipe(RECIPE).buffer)
    cluster: Any = FakeCluster(ray, buffer)
    rows: list[int] = []
    pulse = Pulse(lambda _: None, tmp_path, lambda: ray.now)

    def on_step(step: int, *_: object) -> None:
        if step == interrupted:
            signal.raise_signal(signal.SIGINT)
        rows.append(step)

    loop = OnlineLoop(cluster, buffer, ProblemOrder(["p", "q"], 0, 2), State(run="r"), on_step, lambda _: None, pulse)
    interrupted = 1
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert (loop.step, loop.reported, rows) == (1, 1, [1])

    cluster.publish = lambda _: signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert (loop.step, loop.reported, rows) == (2, 1, [1])


def test_posts_tell_what_waits_and_how_old_it_is(ray: FakeRay, tmp_path: Path) -> None:
    _, _, posted = run(ray, tmp_path)
    names = (m.STEP, m.POLICY_VERSION, m.BUFFER_FILL, m.BUFFER_AGE)
    found = {time: [number_of(values, name) for name in names] for time, values in posted}
    assert found[3.0] == [0, 0, 0, 0]
    assert found[4.0] == [0, 0, 4, 0], "the executor has appended its groups"
    assert found[5.0] == [0, 0, 0, 0], "the first step has drawn them"
    assert found[9.0] == [1, 1, 0, 0]
    assert found[10.0] == [1, 1, 4, 1], "of version 0, after a step"


def test_totals_are_sums_over_batches_steps_and_publications(ray: FakeRay, tmp_path: Path) -> None:
    loop, rows, _ = run(ray, tmp_path)
    assert loop.totals.online == {
        m.PROGRAMS.name: {"train|easy|pass": 6, "train|easy|failure": 2},
        m.EVICTED.name: {"truncated": 2},
        m.JUDGED.name: 200,
        m.SANDBOX_ERRORS.name: 0,
        m.PHASE_SECONDS.name: {"sampling": 7.0, "executing": 0.4, "learning": 2.5},
        m.SAMPLED_TOKENS.name: {"train": 60},
        m.TRAINED.name: 8,
        m.LAG.name: {"0.0": 6, "1.0": 2, "sum": 2.0},
        m.PUBLICATIONS.name: 2,
        m.SYNC_SECONDS.name: 1.0,
        m.SYNC_BYTES.name: 4000,
    }
    assert (loop.totals.lag_max, loop.totals.published, loop.totals.prompt_cut) == (1, 2, 4)
    assert [number_of(row, m.STEP) for row in rows] == [1, 2]
    assert [number_of(row, m.TRAINED) for row in rows] == [4, 8]
    assert [numbers_of(row, m.LOSS) for row in rows] == [{"total": 0.5}] * 2
    assert [number_of(row, m.LAG_MAX) for row in rows] == [1, 0]
    assert [number_of(row, m.LAG_LARGEST) for row in rows] == [1, 1], "what falls between two scrapes is seen all the same"
    assert [number_of(row, m.PUBLICATIONS) for row in rows] == [0, 1], "the newest is still on its way"


def test_too_many_sandbox_errors_stop_the_loop(ray: FakeRay, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^30 of 200 programs ended in a SANDBOX_ERROR: the executors are at fault\. See"):
        run(ray, tmp_path, sandbox_errors=15)


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_a_loop_resumed_from_before_a_commit_comes_to_its_end(
    ray: FakeRay, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    recipe = parse_recipe({**RECIPE, "deterministic": False, "steps": 10, "checkpoint": {"every": 2}})
    buffer: OnlineBuffer = MemoryBuffer(recipe.buffer)
    if kind == "redis":
        buffer = RedisBuffer(request.getfixturevalue("redis_url"), uuid.uuid4().hex, recipe.buffer)
    cluster = FakeCluster(ray, buffer)
    cluster.recipe = recipe
    cluster.ranks = [Actor(online_step=SimpleNamespace(remote=lambda step: Draw(ray, buffer, step)))]
    states: list[State] = []

    def checkpoint(state: State) -> None:
        states.append(state)
        buffer.commit(state.step)

    def loop_from(state: State) -> OnlineLoop:
        pulse = Pulse(lambda _: None, tmp_path, lambda: ray.now)
        order = ProblemOrder(["p", "q"], 0, 2)
        return OnlineLoop(cluster, buffer, order, state, lambda *_: None, checkpoint, pulse)  # type: ignore[arg-type]

    loop_from(State(run="r")).run()
    assert [(state.step, state.drawn) for state in states] == [(2, 8), (4, 16), (6, 24), (8, 32), (10, 40)]
    first = states[0]
    buffer.rewind(first.step, first.sequence, first.drawn)
    again = loop_from(first)
    again.run()
    assert (again.step, buffer.counts().drawn) == (10, 40)


def test_the_last_post_is_of_the_buffer_as_the_loop_leaves_it(ray: FakeRay, tmp_path: Path) -> None:
    posted: list[Mapping[str, Value]] = []
    recipe = parse_recipe({**RECIPE, "deterministic": False, "buffer": {"capacity": 12}})
    buffer = MemoryBuffer(recipe.buffer)
    cluster = FakeCluster(ray, buffer)
    cluster.recipe = recipe
    cluster.ranks = [Actor(online_step=SimpleNamespace(remote=lambda step: Draw(ray, buffer, step)))]
    for key in "abcdef":
        buffer.append(labelled(key))
    pulse = Pulse(posted.append, tmp_path, lambda: 0.0)  # it is never time for a second post
    order = ProblemOrder(["p", "q"], 0, 2)
    loop = OnlineLoop(cluster, buffer, order, State(run="r"), lambda *_: None, lambda _: None, pulse)  # type: ignore[arg-type]
    loop.run()
    first, last = posted
    names = (m.STEP, m.BUFFER_FILL, m.BUFFER_AGE)
    assert [[number_of(values, name) for name in names] for values in (first, last)] == [[1, 8, 1], [2, 0, 0]]
    assert (numbers_of(last, m.EVICTED), loop.totals.evicted) == ({"left_over": 4}, {"left_over": 4})
