"""Which node gets which actor, and what is said where there is no room."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations_with_replacement, product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.errors import UserError
from contracts.recipe import parse_recipe
from rltf import packing
from rltf.placement import plan
from rltf.roles import roles_of, wanted
from rltf.rooms import Node, Role, Room


def node(
    name: str, cpus: float = 8, gpus: float = 0, *, of: float | None = None, unfit: str = "", blind: str = "", **other: float
) -> Node:
    """A node of which so much is free; `of`: GPUs that it has in all."""
    free = {"CPU": cpus, "GPU": gpus, **other}
    return Node(name, name, free, {**free, "GPU": gpus if of is None else of}, unfit=unfit, blind=blind)


def role(name: str, count: int, cpus: float = 1, gpus: float = 0, *, spread: bool = False, one_node: bool = False) -> Role:
    bundle = {"CPU": cpus} | ({"GPU": gpus} if gpus else {})
    return Role(name, count, bundle, reads_files=not spread, spread=spread, one_node=one_node)


def said(nodes: list[Node], *roles: Role) -> list[str]:
    return [str(shortfall) for shortfall in plan(nodes, roles).short]


# What is said


def test_the_role_and_the_node_that_lack_something_are_named() -> None:
    nodes = [node("10.0.0.2", gpus=2), node("10.0.0.3", gpus=0, of=2)]
    assert said(nodes, role("samplers", 4, gpus=1)) == [
        "samplers: 4 × (1 CPU, 1 GPU) wanted, 2 fit: node 10.0.0.2 has 0 of 2 GPUs left, node 10.0.0.3 has 0 of 2 GPUs left"
    ]


def test_two_large_shares_do_not_meet_on_one_gpu() -> None:
    wants = role("samplers", 2, gpus=0.6)
    assert said([node("a", gpus=1)], wants) == [
        "samplers: 2 × (1 CPU, 0.6 GPU) wanted, 1 fit: node a has 0.4 of 1 GPUs left, no more than 0.4 of one"
    ]
    assert said([node("a", gpus=2)], wants) == []
    assert said([node("a", gpus=2)], role("samplers", 3, gpus=0.6)) == [
        "samplers: 3 × (1 CPU, 0.6 GPU) wanted, 2 fit: node a has 0.8 of 2 GPUs left, no more than 0.4 of one"
    ]


def test_sums_over_nodes_are_no_room() -> None:
    nodes = [node("a", cpus=3), node("b", cpus=3)]
    assert said(nodes, role("executors", 2, cpus=4, spread=True)) == [
        "executors: 2 × (4 CPU) wanted, 0 fit: node a has 3 of 3 CPUs left, node b has 3 of 3 CPUs left"
    ]


def test_one_node_has_room_for_all_ranks_or_for_none() -> None:
    nodes = [node("a", gpus=2), node("b", gpus=3)]
    assert said(nodes, role("learner", 4, gpus=1, one_node=True)) == [
        "learner: 4 × (1 CPU, 1 GPU) wanted on one node, 3 fit: node a has room for 2, node b has 0 of 3 GPUs left"
    ]
    assert plan(nodes, [role("learner", 3, gpus=1, one_node=True)]).places == {"learner": ["b"] * 3}


def test_no_more_than_three_nodes_are_named() -> None:
    assert said([node(str(n), cpus=0) for n in range(9)], role("learner", 1))[0].endswith(
        "node 0 has 0 of 0 CPUs left, node 1 has 0 of 0 CPUs left, node 2 has 0 of 0 CPUs left, and 6 more nodes"
    )
    assert said([], role("learner", 1)) == ["learner: 1 × (1 CPU) wanted, 0 fit: there are no nodes"]


def test_reasons_that_are_not_resources_are_told() -> None:
    nodes = [node("a", unfit="lacks torch, the driver has 2.13.0"), node("b", blind="does not see /runs/x")]
    lacking = "node a lacks torch, the driver has 2.13.0"
    assert said(nodes, role("learner", 1), role("executors", 2, spread=True)) == [
        f"learner: 1 × (1 CPU) wanted, 0 fit: {lacking}, node b does not see /runs/x"
    ]


# Where actors go


def test_samplers_share_the_learners_gpu_where_shares_allow() -> None:
    """CUDA IPC wants them there; the other node has as much room."""
    nodes = [node("a", gpus=1), node("b", gpus=1)]
    places = plan(nodes, [role("learner", 1, gpus=0.5), role("samplers", 1, gpus=0.5), role("executors", 4, spread=True)]).places
    assert places["learner"] == places["samplers"]
    assert Counter(places["executors"]) == {"a": 2, "b": 2}


def test_ranks_are_packed_where_most_of_them_fit_and_samplers_beside_them() -> None:
    nodes = [node("a", gpus=2), node("b", gpus=4), node("c", gpus=4)]
    places = plan(nodes, [role("learner", 3, gpus=1), role("samplers", 2, gpus=1)]).places
    assert places == {"learner": ["b", "b", "b"], "samplers": ["b", "a"]}


def test_another_order_of_roles_is_tried() -> None:
    """The learner goes where most of it fits, and would take the only node that is large enough for the executor."""
    nodes = [node("large", cpus=4), node("small", cpus=2)]
    roles = [role("learner", 1, cpus=2), role("executors", 1, cpus=4, spread=True)]
    assert plan(nodes, roles).places == {"learner": ["small"], "executors": ["large"]}


def test_custom_resources_say_on_which_nodes_actors_may_be() -> None:
    nodes = [node("a", cpus=64), node("b", cpu_node=1)]
    executors = Role("executors", 3, {"CPU": 1, "cpu_node": 0.001}, reads_files=False, spread=True)
    assert plan(nodes, [executors]).places == {"executors": ["b"] * 3}
    assert said(nodes[:1], executors) == ["executors: 3 × (1 CPU, 0.001 cpu_node) wanted, 0 fit: node a has 0 of 0 cpu_node left"]


def test_a_busy_cluster_is_told_from_one_that_is_too_small() -> None:
    busy = [Node("a", "a", free={"CPU": 1}, total={"CPU": 4})]
    wants = [role("learner", 4)]
    assert plan(busy, wants).short[0].fit == 1
    assert plan(busy, wants, emptied=True).short == []


# Whatever is asked for

AMOUNTS = st.sampled_from([0, 1, 2, 4])
GPUS = st.sampled_from([0, 0.3, 0.5, 0.6, 1, 2])
NODES = st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=3)
ROLES = st.lists(st.tuples(st.integers(1, 3), st.sampled_from([1, 2]), GPUS, st.booleans()), min_size=1, max_size=3)


def made(nodes: list[tuple[int, int]], roles: list[tuple[int, int, float, bool]]) -> tuple[list[Node], list[Role]]:
    return (
        [node(str(n), cpus, gpus) for n, (cpus, gpus) in enumerate(nodes)],
        [role(str(n), count, cpus, gpus, spread=spread) for n, (count, cpus, gpus, spread) in enumerate(roles)],
    )


def fits(node: Node, bundles: list[dict[str, float]]) -> bool:
    """Do they fit together? Tries all ways of sharing the GPUs."""
    if sum(bundle["CPU"] for bundle in bundles) > node.free["CPU"]:
        return False
    shares = [bundle["GPU"] for bundle in bundles if 0 < bundle.get("GPU", 0) < 1]
    left = int(node.free["GPU"] - sum(bundle.get("GPU", 0) for bundle in bundles if bundle.get("GPU", 0) >= 1))
    return left >= 0 and any(
        all(sum(share for share, gpu in zip(shares, where, strict=True) if gpu == n) <= 1 for n in range(left))
        for where in product(range(left), repeat=len(shares))
    )


@given(NODES, ROLES)
def test_what_is_planned_fits(nodes: list[tuple[int, int]], roles: list[tuple[int, int, float, bool]]) -> None:
    there, wants = made(nodes, roles)
    found = plan(there, wants)
    for one in there:
        bundles = [dict(role.bundle) for role in wants for key in found.places[role.name] if key == one.id]
        assert fits(one, bundles)
    short = {shortfall.role.name: shortfall for shortfall in found.short}
    for role_ in wants:
        assert len(found.places[role_.name]) == (short[role_.name].fit if role_.name in short else role_.count)


@given(NODES, ROLES.filter(lambda roles: len(roles) == 1))
def test_one_role_is_short_only_where_no_way_would_fit(
    nodes: list[tuple[int, int]], roles: list[tuple[int, int, float, bool]]
) -> None:
    there, wants = made(nodes, roles)
    ways = product(range(len(there)), repeat=wants[0].count)
    possible = any(all(fits(one, [dict(wants[0].bundle)] * way.count(n)) for n, one in enumerate(there)) for way in ways)
    assert (plan(there, wants).short == []) == possible


def fit(nodes: list[Node], roles: list[Role]) -> bool:
    """Is there any way? Tries them all."""
    ways = [list(combinations_with_replacement(range(len(nodes)), role.count)) for role in roles]
    ways = [[way for way in some if not role.one_node or len(set(way)) == 1] for some, role in zip(ways, roles, strict=True)]
    return any(
        all(
            fits(one, [dict(role.bundle) for role, where in zip(roles, way, strict=True) for at in where if at == n])
            for n, one in enumerate(nodes)
        )
        for way in product(*ways)
    )


SMALL_NODES = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=3)
CPUS = st.integers(1, 4)


@settings(max_examples=400, deadline=None)
@given(SMALL_NODES, st.integers(1, 2), st.booleans(), st.integers(1, 2), st.integers(1, 3), CPUS, CPUS, CPUS, GPUS, GPUS)
@example([(8, 1), (4, 3)], 1, False, 1, 2, 2, 2, 4, 0.5, 1)
def test_three_roles_are_short_only_where_no_way_would_fit(
    nodes: list[tuple[int, int]], ranks: int, together: bool, samplers: int, executors: int,
    learner_cpus: int, sampler_cpus: int, executor_cpus: int, learner_gpus: float, sampler_gpus: float,
) -> None:  # fmt: skip
    there, _ = made(nodes, [])
    wants = [
        role("learner", ranks, learner_cpus, learner_gpus, one_node=together),
        role("samplers", samplers, sampler_cpus, sampler_gpus),
        role("executors", executors, executor_cpus, spread=True),
    ]
    found = plan(there, wants)
    assert (not found.short) == fit(there, wants)
    for n, one in enumerate(there):
        assert fits(one, [dict(role.bundle) for role in wants for key in found.places[role.name] if key == str(n)])
    assert found.short or all(len(found.places[role.name]) == role.count for role in wants)
    assert found.short or not together or len(set(found.places["learner"])) == 1


def test_roles_that_fit_only_where_executors_leave_the_node_with_most_gpus() -> None:
    """Whichever role comes first, simple rules put it where another one has to be."""
    roles = [role("learner", 1, 2, 0.5), role("samplers", 1, 2, 1), role("executors", 2, 4, spread=True)]
    found = plan([node("a", 8, 1), node("b", 4, 4)], roles)
    assert (found.places, found.short) == ({"learner": ["b"], "samplers": ["b"], "executors": ["a", "a"]}, ())
    busy = [Node("a", "a", {"CPU": 4}, {"CPU": 4, "GPU": 1}), node("b", 2, 2)]
    roles = [role("learner", 1, 1, 0.5), role("samplers", 1, 1, 1), role("executors", 2, 2, spread=True)]
    for emptied in (False, True):
        assert plan(busy, roles, emptied=emptied).places == {"learner": ["b"], "samplers": ["b"], "executors": ["a", "a"]}


def test_large_clusters_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take minutes."""
    rooms = [Room(node(str(n), 64, 8), {"CPU": 64, "GPU": 8}) for n in range(200)]
    roles = [role("learner", 64, 1, 1), role("samplers", 512, 1, 0.5), role("executors", 1000, 4, spread=True)]
    monkeypatch.setattr(packing, "_choices", lambda *_: pytest.fail("searched"))
    assert packing.packed(rooms, roles) is None


def test_tenths_add_up() -> None:
    assert plan([node("a", cpus=10, gpus=1)], [role("samplers", 10, gpus=0.1)]).short == []


# From a recipe


def test_roles_of_a_recipe() -> None:
    recipe = parse_recipe(
        {
            "name": "r",
            "learner": {"ranks": 2, "threads": 3, "num_gpus": 1, "one_node": True},
            "actors": {"count": 3, "num_gpus": 0.5, "resources": {"gpu_node": 0.01}},
            "executors": {"count": 4, "cores": 5},
        }
    )
    learner, *others = roles_of(recipe)
    assert learner == Role("learner", 2, {"CPU": 3, "GPU": 1}, one_node=True)
    assert others == [
        Role("samplers", 3, {"CPU": 1, "GPU": 0.5, "gpu_node": 0.01}),
        Role("executors", 4, {"CPU": 5}, reads_files=False, spread=True),
    ]
    assert roles_of(recipe, learns=False) == others, "to evaluate takes no learner"
    assert wanted(recipe) == {"CPU": 2 * 3 + 3 + 20, "GPU": 4}


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"num_gpus": math.inf}, "actors.num_gpus=inf is not valid: Input should be a finite number"),
        ({"num_gpus": math.nan}, "actors.num_gpus=nan is not valid: Input should be a finite number"),
        ({"num_gpus": 0.00001}, "actors.num_gpus: 1e-05 is less than Ray can give: 0.0001 is the least"),
        ({"resources": {"a": math.inf}}, "actors.resources.a=inf is not valid: Input should be a finite number"),
        (
            {"resources": {"a": 0.00001}},
            "actors.resources.a=1e-05 is not valid: Input should be greater than or equal to 0.0001",
        ),
        ({"num_gpus": 1.5}, "actors.num_gpus: 1.5 is neither a share of one GPU nor a whole number of GPUs"),
        (
            {"resources": {"GPU": 1}},
            "actors.resources: GPU is Ray's own: threads, cores and num_gpus say how much of it an actor takes",
        ),
    ],
)
def test_what_no_actor_can_have_is_refused(section: dict[str, object], line: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_recipe({"name": "r", "actors": section})
    assert caught.value.message == line
