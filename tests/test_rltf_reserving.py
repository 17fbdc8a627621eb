"""Waiting for a cluster: what is told, how long, and what is never waited for. The cluster itself is a fake."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import RunError, UserError
from contracts.recipe import parse_recipe
from rltf import reserving
from rltf.placement import Plan, plan
from rltf.reserving import LOOK_SECONDS, RESERVE_SECONDS, Place, reserve
from rltf.roles import roles_of
from rltf.rooms import Node

HERE, THERE = Place("a", strategy=None), Place("b", strategy=None)  # type: ignore[arg-type]
DONE = {"learner": [HERE], "samplers": [HERE], "executors": [HERE, THERE, HERE]}
LACKING = "executors: 2 × (1 CPU) wanted, 1 fit: node a has 0 of 4 CPUs left"


class Cluster:
    """Shows one list of nodes after another, the last one for ever, and takes the reservations that it is told to."""

    def __init__(self, looks: Sequence[Sequence[Node]], taken: Sequence[bool] = (True,), first_look: float = 0) -> None:
        """`first_look`: seconds that the nodes take to answer at first."""
        self._looks = list(looks)
        self._taken = list(taken)
        self._seconds = first_look
        self.now = 0.0
        self.asked: list[list[dict[str, float]]] = []
        self.told: list[str] = []
        self.given: list[float] = []
        self.waited: list[float] = []

    def look(self) -> list[Node]:
        self.now, self._seconds = self.now + self._seconds, 0
        return list(self._looks.pop(0) if len(self._looks) > 1 else self._looks[0])

    def reserved(self, *arguments: Any) -> dict[str, list[Place]] | None:
        self.given.append(arguments[-1])
        self.now += arguments[-1] * (not self._taken[0])
        return DONE if self._taken.pop(0) else None

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self) -> None:
        self.waited.append(self.now)

    def request(self, bundles: list[dict[str, float]]) -> None:
        self.asked.append(bundles)

    def reserve(self, monkeypatch: pytest.MonkeyPatch, gpus: float = 0, **ray: object) -> None:
        recipe = parse_recipe({"name": "r", "executors": {"count": 2}, "actors": {"num_gpus": gpus}, "ray": ray})
        monkeypatch.setattr(reserving, "Nodes", lambda _: self)
        monkeypatch.setattr(reserving, "_reserved", self.reserved)
        monkeypatch.setattr(reserving, "request_resources", self.request)
        monkeypatch.setattr(reserving.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(reserving.time, "sleep", self.sleep)
        assert reserve(recipe.ray, roles_of(recipe), [Path("/runs")], self.told.append, self.wait) is DONE


def node(name: str, free: float, unfit: str = "") -> Node:
    return Node(name, name, {"CPU": free}, {"CPU": 4}, unfit=unfit)


def test_room_is_taken_at_once_and_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([[node("a", 4)]])
    cluster.reserve(monkeypatch)
    assert (cluster.told, cluster.waited, cluster.now, cluster.asked) == ([], [], 0.0, [])


def test_who_lacks_what_is_told_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([[node("a", 3)], [node("a", 3)], [node("a", 0)], [node("a", 4)]])
    cluster.reserve(monkeypatch)
    everyone = [
        f"{role} wanted, 0 fit: node a has 0 of 4 CPUs left" for role in ("learner: 1 × (1 CPU)", "samplers: 1 × (1 CPU)")
    ]
    everyone.append("executors: 2 × (1 CPU) wanted, 0 fit: node a has 0 of 4 CPUs left")
    assert cluster.told == [f"waiting for room: {LACKING}", f"waiting for room: {'; '.join(everyone)}"]
    assert cluster.now == 3 * LOOK_SECONDS
    assert cluster.waited == [0, LOOK_SECONDS, 2 * LOOK_SECONDS], "a wait shows that it lives, whatever is told"


def test_a_cluster_that_is_too_small_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([[Node("a", "a", {"CPU": 3}, {"CPU": 3})]])
    with pytest.raises(UserError) as caught:
        cluster.reserve(monkeypatch)
    assert caught.value.message == f"the recipe's actors do not fit the cluster: {LACKING.replace('of 4', 'of 3')}"
    assert caught.value.exit_code == 2
    assert cluster.now == 0


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([[node("a", 3)]])
    with pytest.raises(RunError) as caught:
        cluster.reserve(monkeypatch, wait_seconds=7)
    assert (caught.value.message, caught.value.remedy) == (
        f"the cluster has been too busy for 7 s: {LACKING}",
        "Raise ray.wait_seconds",
    )
    assert 7 <= cluster.now < 7 + LOOK_SECONDS


def test_nodes_that_answer_late_take_nothing_from_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([[node("a", 3)], [node("a", 3)], [node("a", 4)]], first_look=100)
    cluster.reserve(monkeypatch, wait_seconds=7)
    assert (cluster.told, cluster.now) == ([f"waiting for room: {LACKING}"], 100 + 2 * LOOK_SECONDS)


def test_nodes_that_do_not_see_the_runs_files_are_told_and_how_to_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = Node("b", "b", {"CPU": 9}, {"CPU": 9}, blind="does not see /runs/r")
    cluster = Cluster([[Node("a", "a", {"CPU": 1}, {"CPU": 1}), blind]])
    with pytest.raises(UserError) as caught:
        cluster.reserve(monkeypatch)
    assert caught.value.message == (
        "the recipe's actors do not fit the cluster: "
        "samplers: 1 × (1 CPU) wanted, 0 fit: node a has 0 of 1 CPUs left, node b does not see /runs/r"
    )
    assert caught.value.remedy.startswith("Set output and model.path to places that the nodes share")


def test_a_cluster_that_grows_is_asked_to_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([[], [node("a", 4)]])
    cluster.reserve(monkeypatch, autoscales=True)
    assert cluster.asked == [[{"CPU": 1}] * 4, []], "the wish is withdrawn when all is reserved"
    assert len(cluster.told) == 1
    assert cluster.now == LOOK_SECONDS


def test_what_others_took_first_is_planned_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([[node("a", 4)]], taken=[False, True])
    cluster.reserve(monkeypatch)
    assert cluster.told == ["waiting for room: Ray did not give what looked free: others were faster"]
    assert cluster.given == [RESERVE_SECONDS, RESERVE_SECONDS]


def test_shares_that_ray_does_not_give_are_told_and_not_waited_for_beyond_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster([[Node("a", "a", {"CPU": 4, "GPU": 1}, {"CPU": 4, "GPU": 2})]], taken=[False] * 9)
    refused = "Ray did not give what looked free: others were faster, or what is left of a node's GPUs is of several"
    with pytest.raises(RunError) as caught:
        cluster.reserve(monkeypatch, gpus=1, wait_seconds=15)
    assert caught.value.message == f"the cluster has been too busy for 15 s: {refused}"
    assert cluster.told == [f"waiting for room: {refused}"]
    assert cluster.given == [RESERVE_SECONDS, 15 - RESERVE_SECONDS - LOOK_SECONDS]


def test_a_node_that_dies_meanwhile_is_told_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [node("a", 2), node("b", 0)]
    cluster = Cluster([both, [Node("a", "a", {"CPU": 2}, {"CPU": 2})], [node("a", 2), node("c", 4)]])
    cluster.reserve(monkeypatch)
    assert cluster.told[1] == "node b has gone"
    assert cluster.told[2] == "waiting for room: executors: 2 × (1 CPU) wanted, 0 fit: node a has 0 of 2 CPUs left"
    assert len(cluster.told) == 4
    assert cluster.now == 2 * LOOK_SECONDS


def test_what_fits_now_is_taken_without_a_look_at_an_empty_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[bool] = []

    def noting(*arguments: Any, emptied: bool = False) -> Plan:
        planned.append(emptied)
        return plan(*arguments, emptied=emptied)

    monkeypatch.setattr(reserving, "plan", noting)
    Cluster([[node("a", 4)]]).reserve(monkeypatch)
    assert planned == [False]


def test_a_node_that_cannot_run_actors_is_left_out_and_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = node("b", 4, unfit="lacks torch, the driver has 2.13.0")
    cluster = Cluster([[node("a", 3), odd], [node("a", 4), odd]])
    cluster.reserve(monkeypatch)
    assert cluster.told[0] == "node b is left out: it lacks torch, the driver has 2.13.0"
    assert cluster.told[1:] == [
        f"waiting for room: {LACKING}, node b lacks torch, the driver has 2.13.0",
        "learner on a (1); samplers on a (1); executors on a (2), b (1)",
    ]


def test_a_node_that_has_not_answered_is_waited_for_and_may_be_unfit_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Node("a", "a", {"CPU": 3}, {"CPU": 3})
    silent = Node("b", "b", {"CPU": 4}, {"CPU": 4}, unfit="has not answered within 120 s", unsure=True)
    cluster = Cluster([[small, silent], [small, silent], [small, node("b", 4)]])
    cluster.reserve(monkeypatch)
    assert cluster.told[0] == "node b is left out: it has not answered within 120 s"
    assert cluster.now == 2 * LOOK_SECONDS
    cluster = Cluster([[small, silent], [small, node("b", 4, unfit="lacks torch, the driver has 2.13.0")]])
    with pytest.raises(UserError, match=r"^the recipe's actors do not fit the cluster: .*node b lacks torch"):
        cluster.reserve(monkeypatch)
    assert cluster.now == LOOK_SECONDS
