"""What is asked of a cluster's nodes, and what becomes of those that do not answer. Ray itself is a fake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from ray import exceptions

from rltf import nodes as room
from rltf.nodes import LIBRARIES, PROBE_SECONDS, ROOMS, Nodes, _probe
from rltf.rooms import Node


@dataclass(eq=False)
class FakeRay:
    """A driver's node `own` and others, each with its answers to one question after another; None: it keeps silent."""

    answers: dict[str, list[Any]]
    exceptions: Any = exceptions
    asked: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "own")

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": key, "NodeManagerAddress": key, "Alive": True, "Resources": {}} for key in ("own", *self.answers)]

    def remote(self, **_: object) -> Any:
        return lambda _: SimpleNamespace(options=lambda *, scheduling_strategy: self._asking(scheduling_strategy.node_id))

    def _asking(self, key: str) -> Any:
        def remote(*_: object) -> SimpleNamespace:
            self.asked.append(key)
            return SimpleNamespace(key=key)

        return SimpleNamespace(remote=remote)

    def wait(self, tasks: Sequence[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        assert num_returns == len(tasks)
        self.waits.append(timeout)
        ready = [task for task in tasks if self.answers[task.key][0] is not None]
        for task in tasks:
            if task not in ready:
                self.answers[task.key].pop(0)
        return ready, [task for task in tasks if task not in ready]

    def get(self, task: Any) -> Any:
        answer = self.answers[task.key].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def looks(monkeypatch: pytest.MonkeyPatch, ray: FakeRay, count: int) -> list[list[Node]]:
    monkeypatch.setattr(room, "ray", ray)
    monkeypatch.setattr(room, "NodeAffinitySchedulingStrategy", lambda key, **_: SimpleNamespace(node_id=key))
    monkeypatch.setattr(room, "available_resources_per_node", dict)
    nodes = Nodes([])
    return [nodes.look() for _ in range(count)]


def said(looks: Sequence[Sequence[Node]]) -> list[list[tuple[str, str, bool]]]:
    return [[(node.id, node.unfit, node.unsure) for node in look] for look in looks]


def test_a_node_that_was_silent_is_used_when_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    good = _probe()(LIBRARIES, ROOMS, [])
    ray = FakeRay({"a": [None, None, good], "b": [good]})
    silent = ("a", f"has not answered within {PROBE_SECONDS:.0f} s", True)
    own, fit, a = ("own", "", False), ("b", "", False), ("a", "", False)
    assert said(looks(monkeypatch, ray, 4)) == [[own, silent, fit], [own, silent, fit], [own, a, fit], [own, a, fit]]
    assert ray.asked == ["a", "b"], "the question is still open"
    assert ray.waits == [PROBE_SECONDS, 0, 0], "nobody waits for it again"


def test_a_node_that_failed_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    good = _probe()(LIBRARIES, ROOMS, [])
    failed = exceptions.RuntimeEnvSetupError("no room")
    ray = FakeRay({"a": [failed, None, failed, {**good, "missing": ["/runs"]}]})
    found = looks(monkeypatch, ray, 4)
    unfit = ("a", f"cannot run tasks: {str(failed).splitlines()[-1]}", True)
    assert said(found) == [[("own", "", False), unfit]] * 3 + [[("own", "", False), ("a", "", False)]]
    assert found[-1][1].blind == "does not see /runs"
    assert ray.asked == ["a", "a", "a"]
    assert ray.waits == [PROBE_SECONDS, 0, 0, 0]
