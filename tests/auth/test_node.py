import pytest

from ekslab.kube.api.ports import Decision, Verdict
from ekslab.kube.api.requests import Attributes, Object, UserInfo
from ekslab.kube.auth.node import NodeAuthorizer, node_name
from tests.fakes.lister import FakeLister, meta, pod

N1 = UserInfo("system:node:n1", ("system:nodes", "system:authenticated"))


def volume(name: str, claim: str, secret: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": meta(name),
        "spec": {
            "claimRef": {"namespace": "shop", "name": claim},
            "csi": {"nodeStageSecretRef": {"namespace": "storage", "name": secret}},
        },
    }


def claim(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta(name, "shop"),
        "spec": {},
    }


def attachment(name: str, node: str) -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": meta(name),
        "spec": {"nodeName": node},
    }


CONTAINER = {
    "name": "main",
    "env": [
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "env-map", "key": "k"}}},
    ],
    "envFrom": [{"secretRef": {"name": "all-secret"}}, {"configMapRef": {"name": "all-map"}}],
}
VOLUMES = [
    {"name": "v1", "secret": {"secretName": "volume-secret"}},
    {"name": "v2", "configMap": {"name": "volume-map"}},
    {"name": "v3", "persistentVolumeClaim": {"claimName": "data"}},
    {"name": "v4", "projected": {"sources": [{"secret": {"name": "projected-secret"}}]}},
    {"name": "v5", "ephemeral": {"volumeClaimTemplate": {}}},
]


@pytest.fixture(scope="module")
def authorizer() -> NodeAuthorizer:
    mirror = pod("mirror", "shop", node="n1", containers=[CONTAINER])
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    mirror["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "mirrored-secret"}}]
    return NodeAuthorizer(
        FakeLister(
            pod(
                "web",
                "shop",
                node="n1",
                serviceAccountName="bot",
                containers=[CONTAINER],
                volumes=VOLUMES,
                imagePullSecrets=[{"name": "pull-secret"}],
            ),
            pod(
                "far",
                "shop",
                node="n2",
                serviceAccountName="far-bot",
                volumes=[{"name": "v", "secret": {"secretName": "far-secret"}}],
            ),
            pod("unbound", "shop"),
            mirror,
            claim("data"),
            claim("web-v5"),
            claim("far-data"),
            volume("pv-1", "data", "stage-secret"),
            volume("pv-2", "far-data", "far-stage-secret"),
            attachment("near", "n1"),
            attachment("far", "n2"),
        )
    )


def ask(
    verb: str,
    resource: str,
    name: str = "",
    *,
    ns: str = "shop",
    selector: str = "",
    user: UserInfo = N1,
) -> Attributes:
    group, _, resource = resource.rpartition(":")
    resource, _, subresource = resource.partition("/")
    return Attributes(
        user=user, verb=verb, group=group, version="v1", resource=resource,
        subresource=subresource, namespace=ns, name=name, field_selector=selector,
    )  # fmt: skip


@pytest.mark.parametrize(
    "attributes",
    [
        ask("get", "nodes", "n1", ns=""),
        ask("watch", "nodes", "n1", ns=""),
        ask("create", "nodes", ns=""),
        ask("patch", "nodes/status", "n1", ns=""),
        ask("get", "pods", "web"),
        ask("watch", "pods", ns="", selector="spec.nodeName=n1"),
        ask("list", "pods", ns="", selector="status.phase==Running,spec.nodeName==n1"),
        ask("watch", "pods", "web"),
        ask("patch", "pods/status", "web"),
        ask("create", "pods/eviction", "web"),
        ask("delete", "pods", "web"),
        ask("get", "secrets", "volume-secret"),
        ask("watch", "secrets", "projected-secret"),
        ask("get", "secrets", "env-secret"),
        ask("get", "secrets", "all-secret"),
        ask("get", "secrets", "pull-secret"),
        ask("get", "secrets", "stage-secret", ns="storage"),
        ask("list", "configmaps", "volume-map"),
        ask("get", "configmaps", "env-map"),
        ask("get", "configmaps", "all-map"),
        ask("get", "persistentvolumeclaims", "data"),
        ask("get", "persistentvolumeclaims", "web-v5"),
        ask("patch", "persistentvolumeclaims/status", "data"),
        ask("get", "persistentvolumes", "pv-1", ns=""),
        ask("get", "storage.k8s.io:volumeattachments", "near", ns=""),
        ask("get", "serviceaccounts", "bot"),
        ask("create", "serviceaccounts/token", "bot"),
        ask("create", "coordination.k8s.io:leases", ns="kube-node-lease"),
        ask("update", "coordination.k8s.io:leases", "n1", ns="kube-node-lease"),
        ask("get", "storage.k8s.io:csinodes", "n1", ns=""),
        ask("list", "services", ns=""),
        ask("create", "events"),
        ask("watch", "storage.k8s.io:csidrivers", ns=""),
    ],
    ids=lambda attributes: f"{attributes.verb} {attributes.resource} {attributes.name}",
)
def test_a_node_may(authorizer: NodeAuthorizer, attributes: Attributes):
    assert authorizer.authorize(attributes).decision is Decision.ALLOW


UNRELATED = "no relationship found between node 'n1' and this object"


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (ask("get", "secrets", "far-secret"), UNRELATED),
        (ask("get", "secrets", "volume-secret", ns="bank"), UNRELATED),
        (ask("get", "secrets", "mirrored-secret"), UNRELATED),
        (ask("get", "secrets", "far-stage-secret", ns="storage"), UNRELATED),
        (ask("list", "secrets"), "No Object name found"),
        (ask("list", "secrets", ns=""), "can only read namespaced object of this type"),
        (ask("update", "secrets", "volume-secret"), "can only read resources of this type"),
        (ask("get", "configmaps", "other"), UNRELATED),
        (ask("get", "pods", "far"), UNRELATED),
        (ask("get", "pods", "unbound"), UNRELATED),
        (ask("get", "pods/log", "web"), ""),
        (ask("list", "pods"), "can only list/watch pods with spec.nodeName field selector"),
        (
            ask("list", "pods", selector="spec.nodeName=n2"),
            "can only list/watch pods with spec.nodeName field selector",
        ),
        (ask("update", "pods", "web"), ""),
        (
            ask("get", "nodes", "n2", ns=""),
            "node 'n1' cannot read 'n2', only its own Node object",
        ),
        (
            ask("list", "nodes", ns=""),
            "node 'n1' cannot read all nodes, only its own Node object",
        ),
        (ask("delete", "nodes", "n1", ns=""), ""),
        (ask("get", "persistentvolumes", "pv-2", ns=""), UNRELATED),
        (
            ask("list", "persistentvolumeclaims"),
            "can only get individual resources of this type",
        ),
        (
            ask("get", "persistentvolumeclaims/status", "data"),
            "can only get/update/patch this type",
        ),
        (ask("get", "storage.k8s.io:volumeattachments", "far", ns=""), UNRELATED),
        (ask("create", "serviceaccounts/token", "far-bot"), UNRELATED),
        (
            ask("create", "serviceaccounts"),
            "can only create tokens for individual service accounts",
        ),
        (
            ask("update", "coordination.k8s.io:leases", "n2", ns="kube-node-lease"),
            "can only access node lease with the same name as the requesting node",
        ),
        (
            ask("get", "coordination.k8s.io:leases", "n1"),
            'can only access leases in the "kube-node-lease" system namespace',
        ),
        (
            ask("list", "coordination.k8s.io:leases", ns="kube-node-lease"),
            "can only get, create, update, patch, or delete a node lease",
        ),
        (
            ask("delete", "storage.k8s.io:csinodes", "n2", ns=""),
            "can only access CSINode with the same name as the requesting node",
        ),
        (ask("create", "apps:deployments"), ""),
    ],
    ids=lambda value: f"{value.verb} {value.name}" if isinstance(value, Attributes) else None,
)
def test_a_node_may_not(authorizer: NodeAuthorizer, attributes: Attributes, reason: str):
    assert authorizer.authorize(attributes) == Verdict(Decision.NO_OPINION, reason)


@pytest.mark.parametrize(
    ("user", "name"),
    [
        pytest.param(N1, "n1", id="node"),
        pytest.param(UserInfo("system:node:n1"), None, id="without the group"),
        pytest.param(UserInfo("jane", ("system:nodes",)), None, id="without the prefix"),
        pytest.param(UserInfo("system:node:", ("system:nodes",)), "", id="without a name"),
    ],
)
def test_nodes_are_known_by_prefix_and_group(user: UserInfo, name: str | None):
    assert node_name(user) == name


def test_others_are_not_its_business(authorizer: NodeAuthorizer):
    jane = UserInfo("jane", ("system:masters",))
    verdict = authorizer.authorize(ask("get", "secrets", "volume-secret", user=jane))
    assert verdict == Verdict(Decision.NO_OPINION)


def test_a_node_without_a_name_is_refused_by_user(authorizer: NodeAuthorizer):
    nameless = UserInfo("system:node:", ("system:nodes",))
    verdict = authorizer.authorize(ask("get", "secrets", "x", user=nameless))
    assert verdict.reason == 'unknown node for user "system:node:"'
