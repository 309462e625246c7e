import pytest

from ekslab.kube.api.ports import AdmissionRequest
from ekslab.kube.api.requests import Object, UserInfo
from ekslab.kube.apiserver.admission.nodes import NodeRestriction, TaintNodesByCondition
from tests.admission.requests import NODE, asked, run
from tests.fakes.lister import FakeLister, meta, pod


def node(name: str = "n1", *, labels: dict[str, str] | None = None, **spec: object) -> Object:
    metadata = meta(name, labels=labels or {})
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec}


def owner(**more: object) -> Object:
    base = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "uid-n1", "controller": True}
    return {**base, **more}


def mirror(*owners: Object, on: str = "n1") -> Object:
    obj = pod("static", node=on)
    obj["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    obj["metadata"]["ownerReferences"] = list(owners)
    return obj


def token_request(**ref: str) -> Object:
    spec: Object = {"audiences": []}
    if ref:
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", **ref}
    return {"metadata": {"name": "bot"}, "spec": spec}


TOKEN = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
NEAR = pod("near", node="n1", volumes=[TOKEN])
BARE = pod("bare", node="n1")
FAR = pod("far", node="n2", volumes=[TOKEN])
LABELLED = pod("near", node="n1", volumes=[TOKEN])
LABELLED["metadata"]["labels"] = {"app": "x"}
PLUGIN = NodeRestriction(FakeLister(node(), NEAR, FAR, BARE))


def by_node(verb: str, target: str, obj: Object | None = None, **more: object) -> AdmissionRequest:
    return asked(verb, target, obj, user=NODE, **more)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(by_node("create", "nodes", node()), id="itself"),
        pytest.param(
            by_node("create", "nodes", node(labels={"kubernetes.io/hostname": "n1", "team": "a"})),
            id="with a kubelet's labels",
        ),
        pytest.param(
            by_node("create", "nodes", node(labels={"node.kubernetes.io/special": "x"})),
            id="with labels of its own domain",
        ),
        pytest.param(by_node("update", "nodes/status", node(), old=node()), id="its status"),
        pytest.param(by_node("update", "pods/status", NEAR, old=NEAR), id="its pod's status"),
        pytest.param(by_node("delete", "pods", old=NEAR), id="delete its pod"),
        pytest.param(by_node("create", "pods/eviction", {"metadata": meta("near")}), id="evict"),
        pytest.param(by_node("create", "pods", mirror(owner())), id="mirror pod"),
        pytest.param(
            by_node("create", "serviceaccounts/token", token_request(name="near", uid="uid-near")),
            id="token for its pod",
        ),
        pytest.param(
            by_node("create", "leases", {"metadata": meta("n1")}, namespace="kube-node-lease"),
            id="its lease",
        ),
        pytest.param(by_node("create", "csinodes", {"metadata": meta("n1")}), id="its CSINode"),
        pytest.param(by_node("create", "configmaps", {"metadata": meta("m")}), id="other types"),
        pytest.param(asked("create", "nodes", node("n9")), id="somebody else may do anything"),
    ],
)
async def test_a_node_may_write(request_: AdmissionRequest):
    assert await run(PLUGIN, request_) == request_.obj


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        pytest.param(
            by_node("create", "nodes", node("n2")),
            'nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"',
            id="another node",
        ),
        pytest.param(
            by_node("create", "nodes", node(labels={"node-restriction.kubernetes.io/x": "y"})),
            'nodes "n1" is forbidden: node "n1" is not allowed to set the following labels:'
            " node-restriction.kubernetes.io/x",
            id="restricted label",
        ),
        pytest.param(
            by_node("update", "nodes", node(labels={"a.k8s.io/b": "y"}), old=node()),
            'nodes "n1" is forbidden: is not allowed to modify labels: a.k8s.io/b',
            id="unknown label of ours",
        ),
        pytest.param(
            by_node("update", "nodes", node(), old=node(taints=[{"key": "a"}])),
            'nodes "n1" is forbidden: node "n1" is not allowed to modify taints',
            id="taints",
        ),
        pytest.param(
            by_node("update", "pods/status", FAR, old=FAR),
            'pods "far" is forbidden: node "n1" can only update pod status for pods with'
            " spec.nodeName set to itself",
            id="another node's pod",
        ),
        pytest.param(
            by_node("update", "pods/status", LABELLED, old=NEAR),
            'pods "near" is forbidden: node "n1" cannot update labels through pod status',
            id="labels through status",
        ),
        pytest.param(
            by_node("delete", "pods", old=FAR),
            'pods "far" is forbidden: node "n1" can only delete pods with spec.nodeName set to'
            " itself",
            id="delete another node's pod",
        ),
        pytest.param(
            by_node("update", "pods", NEAR, old=NEAR),
            'pods "near" is forbidden: unexpected operation "UPDATE", node "n1" can only create and'
            " delete mirror pods",
            id="update a pod",
        ),
        pytest.param(
            by_node("create", "pods", pod("p", node="n1")),
            'pods "p" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation,'
            ' node "n1" can only create mirror pods',
            id="pod that is no mirror",
        ),
        pytest.param(
            by_node("create", "pods", mirror(owner(), on="n2")),
            'pods "static" is forbidden: node "n1" can only create pods with spec.nodeName set to'
            " itself",
            id="mirror pod elsewhere",
        ),
        pytest.param(
            by_node("create", "pods", mirror()),
            'pods "static" is forbidden: node "n1" can only create pods with an owner reference set'
            " to itself",
            id="mirror pod without owner",
        ),
        pytest.param(
            by_node("create", "pods", mirror(owner(controller=False))),
            'pods "static" is forbidden: node "n1" can only create pods with a controller owner'
            " reference set to itself",
            id="mirror pod without controller",
        ),
        pytest.param(
            by_node("create", "pods", mirror(owner(uid="old"))),
            'pods "static" is forbidden: node n1 UID mismatch: expected old got uid-n1',
            id="mirror pod of an earlier node",
        ),
        pytest.param(
            by_node("create", "pods/binding", {"metadata": meta("near")}),
            'pods "near" is forbidden: unexpected pod subresource "binding", only \'status\' and'
            " 'eviction' are allowed",
            id="bind",
        ),
        pytest.param(
            by_node("create", "pods/eviction", {"metadata": meta("far")}),
            'pods "far" is forbidden: node n1 can only evict pods with spec.nodeName set to itself',
            id="evict another node's pod",
        ),
        pytest.param(
            by_node("create", "serviceaccounts/token", token_request()),
            'serviceaccounts "bot" is forbidden: node requested token not bound to a pod',
            id="token for nobody",
        ),
        pytest.param(
            by_node("create", "serviceaccounts/token", token_request(name="near")),
            'serviceaccounts "bot" is forbidden: node requested token with a pod binding without a'
            " uid",
            id="token without uid",
        ),
        pytest.param(
            by_node("create", "serviceaccounts/token", token_request(name="far", uid="uid-far")),
            'serviceaccounts "bot" is forbidden: node requested token bound to a pod scheduled on a'
            " different node",
            id="token for another node's pod",
        ),
        pytest.param(
            by_node("create", "serviceaccounts/token", token_request(name="bare", uid="uid-bare")),
            'serviceaccounts "bot" is forbidden: audience "" not found in pod spec volume,'
            " system:node:n1 is not authorized to request tokens for this audience",
            id="token nobody mounts",
        ),
        pytest.param(
            by_node("create", "leases", {"metadata": meta("n1")}, namespace="default"),
            'leases.coordination.k8s.io "n1" is forbidden: can only access leases in the'
            ' "kube-node-lease" system namespace',
            id="lease elsewhere",
        ),
        pytest.param(
            by_node("create", "leases", {"metadata": meta("n2")}, namespace="kube-node-lease"),
            'leases.coordination.k8s.io "n2" is forbidden: can only access node lease with the same'
            " name as the requesting node",
            id="another node's lease",
        ),
        pytest.param(
            by_node("create", "csinodes", {"metadata": meta("n2")}),
            'csinodes.storage.k8s.io "n2" is forbidden: can only access CSINode with the same name'
            " as the requesting node",
            id="another node's CSINode",
        ),
        pytest.param(
            asked("create", "nodes", node(), user=UserInfo("system:node:", ("system:nodes",))),
            'nodes "n1" is forbidden: could not determine node from user "system:node:"',
            id="node without a name",
        ),
    ],
)
async def test_a_node_may_not_write(request_: AdmissionRequest, message: str):
    assert await run(PLUGIN, request_) == (403, message)


async def test_an_unknown_pod_is_not_found():
    request = by_node("create", "pods/eviction", {"metadata": meta("gone")})
    assert await run(PLUGIN, request) == (404, 'pods "gone" not found')


async def test_a_node_begins_with_the_not_ready_taint_once():
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    for given in ([], [taint]):
        sent = asked("create", "nodes", node(taints=given))
        result = await run(TaintNodesByCondition(), sent)
        assert result["spec"]["taints"] == [taint]
