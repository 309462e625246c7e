"""Nodes, pods and states with only the interesting fields."""

from typing import Any

from ekslab.kube.api.requests import Object
from ekslab.kube.scheduler.diagnosis import diagnose
from ekslab.kube.scheduler.state import ClusterState, Placed, node_shape
from ekslab.kube.scheduler.templates import Template, parse

HOST = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


def node(
    name: str,
    *,
    cpu: str = "4",
    memory: str = "16Gi",
    pods: str = "110",
    zone: str = "",
    labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    unschedulable: bool = False,
    **extended: str,
) -> Object:
    own = {HOST: name, **({ZONE: zone} if zone else {}), **(labels or {})}
    allocatable = {"cpu": cpu, "memory": memory, "pods": pods, "ephemeral-storage": "80Gi"}
    more = {key.replace("__", "/"): amount for key, amount in extended.items()}
    spec: Object = {"taints": taints or []}
    if unschedulable:
        spec["unschedulable"] = True
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": own},
        "spec": spec,
        "status": {"allocatable": {**allocatable, **more}},
    }


def pod(
    name: str = "web",
    *,
    cpu: str = "",
    memory: str = "",
    labels: dict[str, str] | None = None,
    namespace: str = "default",
    host_port: int = 0,
    resources: dict[str, str] | None = None,
    owner: Object | None = None,
    **spec: Any,
) -> Object:
    requests = {key: text for key, text in (("cpu", cpu), ("memory", memory)) if text}
    requests.update(resources or {})
    container: Object = {"name": "main", "image": "nginx", "resources": {"requests": requests}}
    if host_port:
        container["ports"] = [{"containerPort": host_port, "hostPort": host_port}]
    meta: Object = {"name": name, "namespace": namespace, "labels": labels or {}}
    if owner is not None:
        meta["ownerReferences"] = [{
            "apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True,
            "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        }]  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"schedulerName": "default-scheduler", "containers": [container], **spec},
    }


def world(*nodes: Object) -> ClusterState:
    state = ClusterState()
    for one in nodes:
        state.put_node(node_shape(one))
    return state


def put(state: ClusterState, on: str, *pods: Object, leaving: bool = False) -> None:
    for one in pods:
        uid = f"{on}/{one['metadata']['name']}"
        key = (one["metadata"]["namespace"], one["metadata"]["name"])
        state.place(Placed(uid, key, on, parse(one), leaving))


def scores(state: ClusterState, wanted: Object | Template) -> dict[str, int]:
    template = wanted if isinstance(wanted, Template) else parse(wanted)
    total = state.evaluator.scores(template)
    return {name: int(total[row]) for name, row in state.columns.row_of.items()}


def fits(state: ClusterState, wanted: Object | Template) -> list[str]:
    return sorted(name for name, score in scores(state, wanted).items() if score >= 0)


def best(state: ClusterState, wanted: Object | Template) -> list[str]:
    template = wanted if isinstance(wanted, Template) else parse(wanted)
    rows = state.evaluator.best_rows(template)
    return sorted(state.columns.name(int(row)) for row in rows)


def why(state: ClusterState, wanted: Object, preemption: str = "") -> str:
    return diagnose(state, parse(wanted)).message(preemption)
