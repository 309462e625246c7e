from typing import Any

import pytest

from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.admission.scheduling import (
    DefaultTolerationSeconds,
    Priority,
    RuntimeClass,
)
from tests.admission.requests import asked, run
from tests.fakes.lister import FakeLister, meta, pod


def priority_class(name: str, value: int, **more: object) -> Object:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": meta(name),
        "value": value,
        **more,
    }


CRITICAL = priority_class("system-node-critical", 2_000_001_000)
PATIENT = priority_class("patient", 7, preemptionPolicy="Never")
USUAL = priority_class("usual", 5, globalDefault=True)


@pytest.mark.parametrize(
    ("spec", "classes", "expected"),
    [
        pytest.param({}, [CRITICAL], (None, 0, "PreemptLowerPriority"), id="no class"),
        pytest.param(
            {"priorityClassName": "system-node-critical"},
            [CRITICAL],
            ("system-node-critical", 2_000_001_000, "PreemptLowerPriority"),
            id="built-in class",
        ),
        pytest.param({}, [USUAL], ("usual", 5, "PreemptLowerPriority"), id="default class"),
        pytest.param(
            {"priorityClassName": "patient", "priority": 7},
            [USUAL, PATIENT],
            ("patient", 7, "Never"),
            id="the number it has anyway",
        ),
    ],
)
async def test_a_pod_gets_its_priority(
    spec: Object, classes: list[Object], expected: tuple[Any, ...]
):
    result = await run(Priority(FakeLister(*classes)), asked("create", "pods", pod(**spec)))
    fields = ("priorityClassName", "priority", "preemptionPolicy")
    assert tuple(result["spec"].get(field) for field in fields) == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"priorityClassName": "lost"},
            'pods "web" is forbidden: no PriorityClass with name lost was found',
            id="no such class",
        ),
        pytest.param(
            {"priority": 9},
            'pods "web" is forbidden: the integer value of priority (9) must not be provided in pod'
            " spec; priority admission controller computed 0 from the given PriorityClass name",
            id="own number",
        ),
        pytest.param(
            {"priorityClassName": "patient", "preemptionPolicy": "PreemptLowerPriority"},
            'pods "web" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority)'
            " must not be provided in pod spec; priority admission controller computed Never from"
            " the given PriorityClass name",
            id="own policy",
        ),
    ],
)
async def test_a_pod_may_not_choose_its_number(spec: Object, message: str):
    result = await run(Priority(FakeLister(PATIENT)), asked("create", "pods", pod(**spec)))
    assert result == (403, message)


async def test_an_update_that_forgets_the_priority_keeps_it():
    old = pod(priority=7, preemptionPolicy="Never")
    result = await run(Priority(FakeLister()), asked("update", "pods", pod(), old=old))
    assert (result["spec"]["priority"], result["spec"]["preemptionPolicy"]) == (7, "Never")


async def test_there_is_only_one_default_class():
    plugin = Priority(FakeLister(USUAL))
    second = priority_class("second", 1, globalDefault=True)
    result = await run(plugin, asked("create", "priorityclasses", second))
    assert result == (
        403,
        (
            'priorityclasses.scheduling.k8s.io "second" is forbidden: PriorityClass usual is'
            " already marked as default. Only one default can exist"
        ),
    )
    same = asked("update", "priorityclasses", USUAL, old=USUAL)
    assert await run(plugin, same) == USUAL


def bears(key: str) -> Object:
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}


NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"


@pytest.mark.parametrize(
    ("given", "added"),
    [
        pytest.param([], [bears(NOT_READY), bears(UNREACHABLE)], id="none"),
        pytest.param(
            [{"key": NOT_READY, "operator": "Exists", "effect": "NoExecute"}],
            [bears(UNREACHABLE)],
            id="one is the user's",
        ),
        pytest.param([{"operator": "Exists"}], [], id="everything is borne"),
        pytest.param(
            [{"operator": "Exists", "effect": "NoSchedule"}],
            [bears(NOT_READY), bears(UNREACHABLE)],
            id="another effect",
        ),
    ],
)
async def test_a_pod_bears_a_lost_node_for_five_minutes(given: list[Object], added: list[Object]):
    result = await run(DefaultTolerationSeconds(), asked("create", "pods", pod(tolerations=given)))
    assert result["spec"]["tolerations"] == given + added


RUNTIME = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": meta("kata"),
    "handler": "kata",
    "overhead": {"podFixed": {"cpu": "250m"}},
    "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm"}]},
}


async def test_a_runtime_class_lends_overhead_and_scheduling():
    request = asked("create", "pods", pod(runtimeClassName="kata", nodeSelector={"a": "b"}))
    result = await run(RuntimeClass(FakeLister(RUNTIME)), request)
    spec = result["spec"]
    assert spec["overhead"] == {"cpu": "250m"}
    assert spec["nodeSelector"] == {"a": "b", "vm": "yes"}
    assert spec["tolerations"] == [{"key": "vm"}]


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        pytest.param(
            {"runtimeClassName": "gone"},
            'pod rejected: RuntimeClass "gone" not found',
            id="no such class",
        ),
        pytest.param(
            {"runtimeClassName": "kata", "overhead": {"cpu": "1"}},
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
            id="another overhead",
        ),
        pytest.param(
            {"overhead": {"cpu": "1"}},
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            id="overhead without class",
        ),
        pytest.param(
            {"runtimeClassName": "kata", "nodeSelector": {"vm": "no"}},
            "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes;"
            " pod.spec.nodeSelector[vm] = no",
            id="another node selector",
        ),
    ],
)
async def test_a_runtime_class_refuses(spec: Object, why: str):
    result = await run(RuntimeClass(FakeLister(RUNTIME)), asked("create", "pods", pod(**spec)))
    assert result == (403, f'pods "web" is forbidden: {why}')
