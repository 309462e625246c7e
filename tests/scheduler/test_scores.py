"""Scores by named cases, and the kernel against a naive reference, node by node."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekslab.kube.scheduler import kernel
from ekslab.kube.scheduler.state import node_shape
from ekslab.kube.scheduler.templates import parse
from tests.scheduler.builders import HOST, ZONE, best, node, pod, put, scores, world

APP = {"app": "web"}


@pytest.mark.parametrize(
    ("used", "capacity", "score"),
    [
        pytest.param((0, 0), (4000, 8000), 100, id="empty"),
        pytest.param((2000, 4000), (4000, 8000), 50, id="half"),
        pytest.param((4000, 0), (4000, 8000), 50, id="cpu full"),
        pytest.param((0, 0), (0, 8000), 100, id="a resource the node has not does not count"),
        pytest.param((9000, 9000), (4000, 8000), 0, id="over-full"),
    ],
)
def test_least_allocated_prefers_empty_nodes(
    used: tuple[int, int], capacity: tuple[int, int], score: int
) -> None:
    columns = [np.array([[value] for value in pair]) for pair in (capacity, used)]
    assert kernel.least_allocated(*columns, np.zeros(2, np.int64)).tolist() == [score]


@pytest.mark.parametrize(
    ("used", "score"),
    [
        pytest.param((2000, 4000), 100, id="same fraction"),
        pytest.param((4000, 0), 50, id="all cpu, no memory"),
        pytest.param((1000, 4000), 87, id="a quarter and a half"),
    ],
)
def test_balanced_allocation_prefers_even_use(used: tuple[int, int], score: int) -> None:
    capacity = np.array([[4000], [8000]])
    requested = np.array([[value] for value in used])
    wanted = np.zeros(2, np.int64)
    assert kernel.balanced_allocation(capacity, requested, wanted).tolist() == [score]


def test_spread_weights_grow_with_the_logarithm_of_domains() -> None:
    assert [kernel.spread_weight(count) for count in (0, 3, 5000)] == [710, 1648, 8722]


amount = st.integers(0, 64)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(amount, amount, amount, amount), min_size=1, max_size=12),
    st.tuples(amount, amount),
    st.tuples(amount, amount),
)
def test_the_vectorised_kernel_agrees_with_its_scalar_twin(
    rows: list[tuple[int, int, int, int]], wanted: tuple[int, int], scored: tuple[int, int]
) -> None:
    table = np.array(rows).T
    allocatable, requested = table[:2], table[2:]
    need, weigh = np.array(wanted), np.array(scored)
    expected = [
        kernel.local_score_of_one([c, m], [uc, um], [uc, um], list(wanted), list(scored))
        for c, m, uc, um in rows
    ]
    found = kernel.local_scores(allocatable, requested, requested, need, weigh)
    assert found.tolist() == expected


def naive_spread(
    counts: list[int], zones: list[str], feasible: list[bool], skew: int
) -> dict[int, int]:
    """Upstream's soft spread score of one zone constraint, written out."""
    names = {zone for zone, ok in zip(zones, feasible, strict=True) if ok and zone}
    weight = kernel.spread_weight(len(names))
    by_zone: dict[str, int] = {}
    for count, zone in zip(counts, zones, strict=True):
        by_zone[zone] = by_zone.get(zone, 0) + count
    raw = {
        row: (by_zone[zone] * weight + (skew - 1) * 1024 + 512) // 1024 if zone else 0
        for row, zone in enumerate(zones)
        if feasible[row]
    }
    judged = [value for row, value in raw.items() if zones[row]]
    if not judged:
        return dict.fromkeys(raw, 0)
    least, most = min(judged), max(judged)
    return {
        row: 0 if not zones[row] else 100 * (most + least - value) // most if most else 100
        for row, value in raw.items()
    }


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["", "a", "b", "c"]), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 3),
)
def test_soft_spread_agrees_with_a_naive_reference(
    rows: list[tuple[int, str, bool]], skew: int
) -> None:
    taint = [{"key": "no", "effect": "NoSchedule"}]
    state = world(
        *(node(f"n{i}", zone=zone, taints=[] if ok else taint)
          for i, (_, zone, ok) in enumerate(rows))
    )  # fmt: skip
    plain = scores(state, pod(labels=APP))
    for i, (count, _, _) in enumerate(rows):
        for k in range(count):
            put(state, f"n{i}", pod(f"p{i}-{k}", labels=APP))
    constraint = {
        "topologyKey": ZONE, "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": APP},
    }  # fmt: skip
    without = scores(state, pod(labels=APP))
    found = scores(state, pod(labels=APP, topologySpreadConstraints=[constraint]))
    counts, zones, feasible = (list(column) for column in zip(*rows, strict=True))
    expected = naive_spread(counts, zones, feasible, skew)
    assert set(plain) == set(found)
    for row, score in expected.items():
        assert found[f"n{row}"] - without[f"n{row}"] == 2 * score


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3), st.booleans()), max_size=40))
def test_a_repaired_judgement_is_what_a_fresh_one_would_be(
    steps: list[tuple[int, int, bool]],
) -> None:
    state = world(*(node(f"n{i}", cpu="2", zone=f"z{i % 3}") for i in range(8)))
    sizes = [parse(pod(cpu=cpu, labels={"app": cpu or "none"})) for cpu in ("", "100m", "500m")]
    sizes.append(parse(pod(cpu="1", host_port=80)))
    on: list[str] = []
    for number, (row, size, removes) in enumerate(steps):
        if removes and on:
            state.remove(on.pop(row % len(on)))
        else:
            name = f"p{number}"
            put(state, f"n{row}", pod(name, cpu=("", "100m", "500m", "1")[size]))
            on.append(f"n{row}/{name}")
        repaired = [scores(state, template) for template in sizes]
        if number % 4 == 0:
            state.evaluator.forget_all()
            assert [scores(state, template) for template in sizes] == repaired


def preferred(weight: int, key: str, value: str) -> dict[str, Any]:
    need = {"key": key, "operator": "In", "values": [value]}
    return {"weight": weight, "preference": {"matchExpressions": [need]}}


def test_preferred_node_affinity_outweighs_a_little_use() -> None:
    state = world(node("a"), node("b", labels={"disk": "ssd"}))
    put(state, "b", pod("one", cpu="100m"))
    soft = {"preferredDuringSchedulingIgnoredDuringExecution": [preferred(1, "disk", "ssd")]}
    assert best(state, pod()) == ["a"]
    assert best(state, pod(affinity={"nodeAffinity": soft})) == ["b"]


def test_soft_taints_are_avoided_while_there_is_choice() -> None:
    taint = {"key": "slow", "effect": "PreferNoSchedule"}
    state = world(node("a", taints=[taint]), node("b", cpu="1"))
    put(state, "b", pod("one", cpu="500m"))
    assert best(state, pod(cpu="100m")) == ["b"]
    assert best(state, pod(cpu="2")) == ["a"]


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        pytest.param("podAffinity", ["a1", "a2"], id="attracted"),
        pytest.param("podAntiAffinity", ["b1"], id="repelled"),
    ],
)
def test_preferred_pod_affinity_goes_by_topology(side: str, expected: list[str]) -> None:
    state = world(node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b"))
    put(state, "a1", pod("db", labels={"app": "db"}))
    put(state, "a2", pod("x"))
    put(state, "b1", pod("y"))
    near = {"topologyKey": ZONE, "labelSelector": {"matchLabels": {"app": "db"}}}
    entry = {"weight": 100, "podAffinityTerm": near}
    wanted = pod(affinity={side: {"preferredDuringSchedulingIgnoredDuringExecution": [entry]}})
    assert best(state, wanted) == expected


def test_pods_of_a_service_spread_by_default_over_zones_and_hosts() -> None:
    state = world(*(node(f"{zone}{i}", zone=zone) for zone in "abc" for i in (1, 2)))
    wanted = pod(labels=APP)
    template = parse(wanted, default_selectors=[{"matchLabels": APP}])
    taken = []
    for number in range(6):
        name = best(state, template)[0]
        taken.append(name)
        put(state, name, pod(f"p{number}", labels=APP))
    assert sorted(taken) == ["a1", "a2", "b1", "b2", "c1", "c2"]
    assert [name[0] for name in taken[:3]] == ["a", "b", "c"]


def test_a_node_that_is_gone_takes_nothing_and_one_that_returns_brings_its_pods() -> None:
    state = world(node("a", cpu="2"), node("b", cpu="2"))
    put(state, "a", pod("one", cpu="1500m"))
    state.remove_node("a")
    assert set(scores(state, pod(cpu="1"))) == {"b"}
    state.put_node(node_shape(node("a", cpu="2")))
    found = scores(state, pod(cpu="1"))
    assert (found["a"], found["b"] > 0) == (kernel.INFEASIBLE, True)


def test_columns_grow_beyond_their_first_size() -> None:
    state = world(*(node(f"n{i}", zone=f"z{i % 3}") for i in range(200)))
    put(state, "n150", pod("one", labels=APP))
    wanted = pod(labels=APP, topologySpreadConstraints=[{
        "topologyKey": HOST, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": APP},
    }])  # fmt: skip
    found = scores(state, wanted)
    assert (found["n150"], len(found)) == (kernel.INFEASIBLE, 200)
