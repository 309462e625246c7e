"""Each filter plugin by named cases: which nodes pass, and what is said of the others."""

from typing import Any

import pytest

from tests.scheduler.builders import HOST, ZONE, best, fits, node, pod, put, why, world


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    selector = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(pod(cpu="2"), ["big", "small"], id="fits both"),
        pytest.param(pod(cpu="3"), ["big"], id="too much cpu for one"),
        pytest.param(pod(memory="9Gi"), ["big"], id="too much memory for one"),
        pytest.param(pod(resources={"nvidia.com/gpu": "1"}), ["big"], id="extended resource"),
        pytest.param(pod(resources={"example.com/none": "1"}), [], id="resource nobody has"),
        pytest.param(pod(cpu="2", overhead={"cpu": "1"}), ["big"], id="overhead counts"),
        pytest.param(
            pod(cpu="1", initContainers=[{"name": "i", "resources": {"requests": {"cpu": "3"}}}]),
            ["big"],
            id="largest init step counts",
        ),
        pytest.param(
            pod(
                cpu="1500m",
                initContainers=[{
                    "name": "s", "restartPolicy": "Always",
                    "resources": {"requests": {"cpu": "1"}},
                }],
            ),
            ["big"],
            id="sidecars add up",
        ),
    ],
)  # fmt: skip
def test_resources_decide_which_nodes_fit(wanted: Any, expected: list[str]) -> None:
    state = world(
        node("small", cpu="2", memory="8Gi"), node("big", cpu="8", **{"nvidia.com__gpu": "1"})
    )
    assert fits(state, wanted) == expected


def test_what_pods_use_is_not_free_and_is_free_again() -> None:
    state = world(node("a", cpu="2"))
    put(state, "a", pod("one", cpu="1500m"))
    assert fits(state, pod(cpu="1")) == []
    state.remove("a/one")
    assert fits(state, pod(cpu="1")) == ["a"]


def test_a_node_takes_no_more_pods_than_it_says() -> None:
    state = world(node("a", pods="1"))
    put(state, "a", pod("one"))
    assert why(state, pod()) == "0/1 nodes are available: 1 Too many pods."


@pytest.mark.parametrize(
    ("affinity", "expected"),
    [
        pytest.param(required(expression("disk", "In", "ssd")), ["a"], id="In"),
        pytest.param(required(expression("disk", "NotIn", "ssd")), ["b", "c"], id="NotIn"),
        pytest.param(required(expression("disk", "Exists")), ["a", "b"], id="Exists"),
        pytest.param(required(expression("disk", "DoesNotExist")), ["c"], id="DoesNotExist"),
        pytest.param(required(expression("gen", "Gt", "4")), ["b"], id="Gt"),
        pytest.param(required(expression("gen", "Lt", "5")), ["a"], id="Lt"),
        pytest.param(
            required(expression("disk", "In", "ssd"), expression("gen", "Gt", "4")),
            ["a", "b"],
            id="terms are alternatives",
        ),
        pytest.param(
            required(
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["c"]}]}
            ),
            ["c"],
            id="by name",
        ),
        pytest.param(required({}), [], id="empty term matches nothing"),
    ],
)
def test_node_affinity_selects_by_label_and_name(affinity: Any, expected: list[str]) -> None:
    state = world(
        node("a", labels={"disk": "ssd", "gen": "4"}),
        node("b", labels={"disk": "hdd", "gen": "5"}),
        node("c"),
    )
    assert fits(state, pod(affinity=affinity)) == expected


TAINT = {"key": "team", "value": "x", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        pytest.param(None, ["free"], id="none"),
        pytest.param({"key": "team", "value": "x"}, ["free", "tainted"], id="equal"),
        pytest.param({"key": "team", "value": "y"}, ["free"], id="other value"),
        pytest.param({"key": "team", "operator": "Exists"}, ["free", "tainted"], id="exists"),
        pytest.param({"operator": "Exists"}, ["free", "tainted"], id="everything"),
        pytest.param(
            {"key": "team", "operator": "Exists", "effect": "NoExecute"}, ["free"], id="effect"
        ),
    ],
)
def test_taints_keep_pods_away_that_do_not_tolerate_them(
    toleration: Any, expected: list[str]
) -> None:
    state = world(node("free"), node("tainted", taints=[TAINT]))
    tolerations = [toleration] if toleration else []
    assert fits(state, pod(tolerations=tolerations)) == expected


def test_a_cordoned_node_takes_only_who_tolerates_it() -> None:
    state = world(node("a", unschedulable=True))
    bears = [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]
    assert fits(state, pod()) == []
    assert fits(state, pod(tolerations=bears)) == ["a"]


def test_a_host_port_is_taken_once_per_node_and_address() -> None:
    state = world(node("a"), node("b"))
    put(state, "a", pod("one", host_port=80))
    assert fits(state, pod(host_port=80)) == ["b"]
    assert fits(state, pod(host_port=81)) == ["a", "b"]
    state.remove("a/one")
    assert fits(state, pod(host_port=80)) == ["a", "b"]


def spread(key: str, *, skew: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [{
        "topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}, **more,
    }]  # fmt: skip


APP = {"app": "web"}


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        pytest.param(spread(ZONE), ["b1"], id="zone with fewer"),
        pytest.param(spread(ZONE, skew=2), ["a1", "a2", "b1"], id="larger skew"),
        pytest.param(spread(HOST), ["a2", "b1"], id="per host"),
        pytest.param(spread(ZONE, minDomains=3), [], id="too few domains count as zero"),
        pytest.param(spread("rack"), [], id="nobody has the label"),
    ],
)
def test_hard_topology_spread_keeps_the_skew(constraints: Any, expected: list[str]) -> None:
    state = world(node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b"))
    put(state, "a1", pod("one", labels=APP))
    if "minDomains" in constraints[0]:
        put(state, "a2", pod("two", labels=APP))
        put(state, "b1", pod("three", labels=APP))
    wanted = pod(labels=APP, topologySpreadConstraints=constraints)
    assert fits(state, wanted) == expected


def test_terminating_pods_do_not_count_for_spread() -> None:
    state = world(node("a1", zone="a"), node("b1", zone="b"))
    put(state, "a1", pod("one", labels=APP), leaving=True)
    wanted = pod(labels=APP, topologySpreadConstraints=spread(ZONE))
    assert fits(state, wanted) == ["a1", "b1"]


def term(key: str, **labels: str) -> dict[str, Any]:
    return {"topologyKey": key, "labelSelector": {"matchLabels": labels}}


def hard(side: str, *terms: dict[str, Any]) -> dict[str, Any]:
    return {side: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param(
            pod(affinity=hard("podAffinity", term(ZONE, app="db"))), ["a1", "a2"], id="near db"
        ),
        pytest.param(
            pod(affinity=hard("podAffinity", term(HOST, app="db"))), ["a1"], id="on db's node"
        ),
        pytest.param(
            pod(affinity=hard("podAntiAffinity", term(ZONE, app="db"))), ["b1"], id="far from db"
        ),
        pytest.param(
            pod(affinity=hard("podAffinity", term(ZONE, app="none"))), [], id="near nobody"
        ),
        pytest.param(
            pod(labels={"app": "x"}, affinity=hard("podAffinity", term(ZONE, app="x"))),
            ["a1", "a2", "b1"],
            id="the first of its kind",
        ),
        pytest.param(
            pod(namespace="other", affinity=hard("podAffinity", term(ZONE, app="db"))),
            [],
            id="another namespace does not count",
        ),
        pytest.param(
            pod(
                namespace="other",
                affinity=hard("podAffinity", {**term(ZONE, app="db"), "namespaceSelector": {}}),
            ),
            ["a1", "a2"],
            id="unless all are selected",
        ),
    ],
)
def test_pod_affinity_goes_by_topology(wanted: Any, expected: list[str]) -> None:
    state = world(node("a1", zone="a"), node("a2", zone="a"), node("b1", zone="b"))
    put(state, "a1", pod("db", labels={"app": "db"}))
    assert fits(state, wanted) == expected


def test_running_pods_keep_others_away_by_their_own_anti_affinity() -> None:
    state = world(node("a1", zone="a"), node("b1", zone="b"))
    loner = pod("loner", affinity=hard("podAntiAffinity", term(ZONE, app="web")))
    put(state, "a1", loner)
    assert fits(state, pod(labels=APP)) == ["b1"]
    assert fits(state, pod(labels={"app": "other"})) == ["a1", "b1"]
    state.remove("a1/loner")
    assert fits(state, pod(labels=APP)) == ["a1", "b1"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        pytest.param(
            pod(cpu="8"),
            "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint "
            "{team: x}, 1 node(s) were unschedulable.",
            id="one reason a node",
        ),
        pytest.param(
            pod(nodeSelector={"no": "where"}),
            "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
            "1 node(s) had untolerated taint {team: x}, 1 node(s) were unschedulable.",
            id="selector",
        ),
        pytest.param(
            pod(cpu="8", memory="64Gi", tolerations=[{"operator": "Exists"}]),
            "0/3 nodes are available: 3 Insufficient cpu, 3 Insufficient memory.",
            id="all that is short",
        ),
    ],
)
def test_the_message_says_why_in_upstreams_words(wanted: Any, message: str) -> None:
    state = world(node("a"), node("b", taints=[TAINT]), node("c", unschedulable=True))
    assert why(state, wanted) == message


def test_without_nodes_the_message_says_so() -> None:
    assert why(world(), pod()) == "no nodes available to schedule pods"


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({"cpu": "1"}, id="fits"),
        pytest.param({"cpu": "4"}, id="no room"),
        pytest.param({"host_port": 80}, id="port taken"),
        pytest.param({"labels": {"app": "lonely"}}, id="unwelcome"),
        pytest.param({"nodeSelector": {"disk": "hdd"}}, id="not selected"),
        pytest.param({"topologySpreadConstraints": spread(ZONE)}, id="spread"),
    ],
)
@pytest.mark.parametrize("name", ["a", "tainted", "cordoned", "nowhere"])
def test_a_pod_for_one_node_is_judged_there_as_among_all(wanted: Any, name: str) -> None:
    state = world(
        node("a", zone="one", labels={"disk": "ssd"}),
        node("tainted", zone="one", taints=[TAINT]),
        node("cordoned", zone="one", unschedulable=True),
        node("other", zone="two"),
    )
    lonely = {"topologyKey": HOST, "labelSelector": {"matchLabels": {"app": "lonely"}}}
    repels = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [lonely]}}
    put(state, "a", pod("there", cpu="1", host_port=80, affinity=repels, labels={"app": "web"}))
    field = {"key": "metadata.name", "operator": "In", "values": [name]}
    one = {"labels": {"app": "web"}, **wanted, "affinity": required({"matchFields": [field]})}
    assert best(state, pod(**one)) == fits(state, pod(**one))
