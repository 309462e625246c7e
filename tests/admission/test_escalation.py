import pytest

from ekslab.kube.api.ports import AdmissionRequest
from ekslab.kube.api.requests import Object, UserInfo
from ekslab.kube.apiserver.admission.escalation import RoleEscalation
from ekslab.kube.auth.rbac import RbacAuthorizer
from tests.admission.requests import JANE, asked, run
from tests.fakes.lister import FakeLister, meta

GROUP = "rbac.authorization.k8s.io"
JOE = UserInfo("joe")
ROOT = UserInfo("root", ("system:masters",))


def role(kind: str, name: str, *rules: Object, namespace: str = "", **more: object) -> Object:
    metadata = meta(name, namespace)
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": metadata,
        "rules": [*rules],
        **more,
    }


def rule(verb: str, resource: str, group: str = "", *names: str) -> Object:
    found: Object = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
    return {**found, "resourceNames": [*names]} if names else found


def binding(kind: str, name: str, ref: str, user: str = "", namespace: str = "") -> Object:
    ref_kind, _, ref_name = ref.partition("/")
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": meta(name, namespace),
        "roleRef": {"apiGroup": GROUP, "kind": ref_kind, "name": ref_name},
        "subjects": [{"kind": "User", "apiGroup": GROUP, "name": user}],
    }


READER = role("ClusterRole", "reader", rule("get", "pods"))
BINDER = role("ClusterRole", "binder", rule("bind", "clusterroles", GROUP, "reader"))
ESCALATOR = role("ClusterRole", "escalator", rule("escalate", "clusterroles", GROUP))
LISTER = FakeLister(
    READER,
    BINDER,
    ESCALATOR,
    binding("ClusterRoleBinding", "jane", "ClusterRole/reader", "jane"),
    binding("ClusterRoleBinding", "ann", "ClusterRole/binder", "ann"),
    binding("ClusterRoleBinding", "eve", "ClusterRole/escalator", "eve"),
)
PLUGIN = RoleEscalation(LISTER, RbacAuthorizer(LISTER))
SECRETS = role("ClusterRole", "secrets", rule("get", "secrets"))
GATHERING = role("ClusterRole", "all", aggregationRule={"clusterRoleSelectors": []})
BIND = binding("ClusterRoleBinding", "new", "ClusterRole/reader", "x")
BIND_GONE = binding("ClusterRoleBinding", "new", "ClusterRole/gone", "x")
BIND_HERE = binding("RoleBinding", "new", "ClusterRole/reader", "x", "default")
OWNED = {**SECRETS, "metadata": {**SECRETS["metadata"], "ownerReferences": [{"name": "o"}]}}


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(asked("create", "clusterroles", READER), id="what she holds"),
        pytest.param(asked("create", "clusterrolebindings", BIND), id="bind what she holds"),
        pytest.param(asked("create", "rolebindings", BIND_HERE), id="bind it in a namespace"),
        pytest.param(asked("create", "clusterroles", SECRETS, user=ROOT), id="masters"),
        pytest.param(
            asked("create", "clusterrolebindings", BIND, user=UserInfo("ann")), id="verb bind"
        ),
        pytest.param(
            asked("create", "clusterroles", SECRETS, user=UserInfo("eve")), id="verb escalate"
        ),
        pytest.param(
            asked("update", "clusterroles", OWNED, old=SECRETS, user=JOE),
            id="owner references alone",
        ),
    ],
)
async def test_one_may_grant(request_: AdmissionRequest):
    assert await run(PLUGIN, request_) == request_.obj


def attempt(user: UserInfo, missing: str) -> str:
    groups = " ".join(f'"{group}"' for group in user.groups)
    return (
        f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not'
        f" currently held:\n{missing}"
    )


PODS = '{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        pytest.param(
            asked("create", "clusterroles", SECRETS),
            'clusterroles.rbac.authorization.k8s.io "secrets" is forbidden: '
            + attempt(JANE, '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'),
            id="a role with more",
        ),
        pytest.param(
            asked("create", "clusterrolebindings", BIND, user=JOE),
            'clusterrolebindings.rbac.authorization.k8s.io "new" is forbidden: '
            + attempt(JOE, PODS),
            id="a binding of more",
        ),
        pytest.param(
            asked("create", "rolebindings", BIND_HERE, user=JOE),
            'rolebindings.rbac.authorization.k8s.io "new" is forbidden: ' + attempt(JOE, PODS),
            id="a binding in a namespace",
        ),
        pytest.param(
            asked("create", "clusterroles", GATHERING),
            'clusterroles.rbac.authorization.k8s.io "all" is forbidden: must have cluster-admin'
            " privileges to use the aggregationRule",
            id="an aggregated role",
        ),
    ],
)
async def test_one_may_not_grant(request_: AdmissionRequest, why: str):
    assert await run(PLUGIN, request_) == (403, why)


async def test_a_binding_of_nothing_is_not_found():
    result = await run(PLUGIN, asked("create", "clusterrolebindings", BIND_GONE))
    assert result == (404, 'clusterroles.rbac.authorization.k8s.io "gone" not found')
