import pytest

from ekslab.kube.api.ports import Decision, Verdict
from ekslab.kube.api.requests import Attributes, Object, UserInfo
from ekslab.kube.auth import bootstrap, rules
from ekslab.kube.auth.authorizers import AuthorizerChain, MastersAuthorizer, denial
from ekslab.kube.auth.rbac import MissingRoleError, RbacAuthorizer
from ekslab.kube.auth.rules import PolicyRule
from tests.fakes.lister import FakeLister, meta

GROUP = "rbac.authorization.k8s.io"
JANE = UserInfo("jane", ("dev", "system:authenticated"))


def role(name: str, *policy: PolicyRule, namespace: str = "", **more: object) -> Object:
    kind = "Role" if namespace else "ClusterRole"
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": meta(name, namespace, **more),
        "rules": [rule.as_object() for rule in policy],
    }


def binding(name: str, ref: str, *subjects: str, namespace: str = "") -> Object:
    ref_kind, _, ref_name = ref.partition("/")
    found = []
    for subject in subjects:
        kind, _, subject_name = subject.partition("/")
        entry = {"kind": kind, "name": subject_name}
        if kind == "ServiceAccount":
            entry["namespace"], _, entry["name"] = subject_name.partition("/")
        found.append(entry)
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": meta(name, namespace),
        "roleRef": {"apiGroup": GROUP, "kind": ref_kind, "name": ref_name},
        "subjects": found,
    }


def rule(verbs: str, resources: str, *, group: str = "", names: str = "") -> PolicyRule:
    names_tuple = tuple(names.split(",")) if names else ()
    return PolicyRule(tuple(verbs.split(",")), (group,), tuple(resources.split(",")), names_tuple)


def ask(
    verb: str,
    resource: str,
    *,
    user: UserInfo = JANE,
    ns: str = "",
    name: str = "",
    group: str = "",
) -> Attributes:
    resource, _, subresource = resource.partition("/")
    return Attributes(
        user=user,
        verb=verb,
        group=group,
        version="v1",
        resource=resource,
        subresource=subresource,
        namespace=ns,
        name=name,
    )


def get_path(path: str, user: UserInfo = JANE) -> Attributes:
    return Attributes(user=user, verb="get", path=path)


READER = role("reader", rule("get,list,watch", "pods,pods/log"))


@pytest.mark.parametrize(
    ("policy", "attributes", "allowed"),
    [
        pytest.param(rule("get", "pods"), ask("get", "pods"), True, id="exact"),
        pytest.param(rule("get", "pods"), ask("list", "pods"), False, id="another verb"),
        pytest.param(rule("*", "pods"), ask("list", "pods"), True, id="any verb"),
        pytest.param(rule("get", "pods"), ask("get", "pods/log"), False, id="not a subresource"),
        pytest.param(rule("get", "pods/log"), ask("get", "pods/log"), True, id="subresource"),
        pytest.param(rule("get", "*/log"), ask("get", "pods/log"), True, id="any with subresource"),
        pytest.param(rule("get", "*/log"), ask("get", "pods"), False, id="only with subresource"),
        pytest.param(rule("get", "*"), ask("get", "pods/log"), True, id="all covers subresources"),
        pytest.param(rule("get", "pods", group="apps"), ask("get", "pods"), False, id="group"),
        pytest.param(
            rule("get", "pods", group="*"), ask("get", "pods", group="apps"), True, id="any group"
        ),
        pytest.param(rule("get", "pods", names="a"), ask("get", "pods", name="a"), True, id="name"),
        pytest.param(
            rule("get", "pods", names="a"), ask("get", "pods", name="b"), False, id="another name"
        ),
        pytest.param(
            rule("create", "pods", names="a"), ask("create", "pods"), False, id="no name yet"
        ),
        pytest.param(
            PolicyRule(("get",), urls=("/healthz",)), get_path("/healthz"), True, id="path"
        ),
        pytest.param(
            PolicyRule(("get",), urls=("/api/*",)), get_path("/api/v1"), True, id="paths below"
        ),
        pytest.param(
            PolicyRule(("get",), urls=("/api/*",)), get_path("/apis"), False, id="path beside"
        ),
        pytest.param(PolicyRule(("get",), urls=("*",)), get_path("/x"), True, id="any path"),
        pytest.param(rule("*", "*", group="*"), get_path("/x"), False, id="resources are no paths"),
    ],
)
def test_a_rule_allows_what_it_says(*, policy: PolicyRule, attributes: Attributes, allowed: bool):
    lister = FakeLister(role("some", policy), binding("b", "ClusterRole/some", "User/jane"))
    verdict = RbacAuthorizer(lister).authorize(attributes)
    assert (verdict.decision is Decision.ALLOW) is allowed


@pytest.mark.parametrize(
    ("objects", "attributes", "reason"),
    [
        pytest.param(
            [READER, binding("read", "ClusterRole/reader", "User/jane")],
            ask("list", "pods"),
            'RBAC: allowed by ClusterRoleBinding "read" of ClusterRole "reader" to User "jane"',
            id="user everywhere",
        ),
        pytest.param(
            [READER, binding("read", "ClusterRole/reader", "User/joe", "Group/dev")],
            ask("get", "pods/log", ns="shop"),
            'RBAC: allowed by ClusterRoleBinding "read" of ClusterRole "reader" to Group "dev"',
            id="second subject",
        ),
        pytest.param(
            [READER, binding("read", "ClusterRole/reader", "User/jane", namespace="shop")],
            ask("list", "pods", ns="shop"),
            'RBAC: allowed by RoleBinding "read/shop" of ClusterRole "reader" to User "jane"',
            id="cluster role in one namespace",
        ),
        pytest.param(
            [
                role("r", rule("get", "pods"), namespace="shop"),
                binding("read", "Role/r", "ServiceAccount//bot", namespace="shop"),
            ],
            ask("get", "pods", ns="shop", user=UserInfo("system:serviceaccount:shop:bot")),
            'RBAC: allowed by RoleBinding "read/shop" of Role "r" to ServiceAccount "bot/shop"',
            id="service account of the binding's namespace",
        ),
        pytest.param(
            [READER, binding("read", "ClusterRole/reader", "ServiceAccount/shop/bot")],
            ask("get", "pods", user=UserInfo("system:serviceaccount:shop:bot")),
            'RBAC: allowed by ClusterRoleBinding "read" of ClusterRole "reader"'
            ' to ServiceAccount "bot/shop"',
            id="service account everywhere",
        ),
    ],
)
def test_the_reason_names_binding_role_and_subject(
    objects: list[Object], attributes: Attributes, reason: str
):
    verdict = RbacAuthorizer(FakeLister(*objects)).authorize(attributes)
    assert verdict == Verdict(Decision.ALLOW, reason)


def test_a_binding_in_a_namespace_says_nothing_of_others():
    lister = FakeLister(READER, binding("r", "ClusterRole/reader", "User/jane", namespace="shop"))
    rbac = RbacAuthorizer(lister)
    for attributes in (ask("list", "pods", ns="bank"), ask("list", "pods")):
        assert rbac.authorize(attributes) == Verdict(Decision.NO_OPINION)


def test_a_missing_role_is_named_in_the_denial():
    lister = FakeLister(
        binding("a", "ClusterRole/gone", "User/jane"),
        binding("b", "Role/lost", "User/jane", namespace="shop"),
    )
    verdict = RbacAuthorizer(lister).authorize(ask("list", "pods", ns="shop"))
    assert verdict.reason == (
        'RBAC: [clusterrole.rbac.authorization.k8s.io "gone" not found,'
        ' role.rbac.authorization.k8s.io "lost" not found]'
    )


def test_decisions_follow_every_change_of_the_rules():
    lister = FakeLister(READER)
    rbac = RbacAuthorizer(lister)
    question = ask("list", "pods", ns="shop")
    seen = [rbac.authorize(question).decision]
    lister.put(binding("read", "ClusterRole/reader", "User/jane", namespace="shop"))
    seen.append(rbac.authorize(question).decision)
    lister.put(role("reader", rule("get", "pods")))
    seen.append(rbac.authorize(question).decision)
    lister.put(binding("read", "ClusterRole/admin", "User/jane"))
    lister.put(role("admin", rule("*", "*", group="*")))
    seen.append(rbac.authorize(question).decision)
    lister.remove("ClusterRoleBinding", "read")
    seen.append(rbac.authorize(question).decision)
    no, yes = Decision.NO_OPINION, Decision.ALLOW
    assert seen == [no, yes, no, yes, no]


def test_names_are_told_apart_after_a_cached_answer():
    lister = FakeLister(
        role("some", rule("get", "secrets", names="a"), rule("get", "secrets", names="b")),
        binding("b", "ClusterRole/some", "User/jane"),
    )
    rbac = RbacAuthorizer(lister)
    answers = {name: rbac.authorize(ask("get", "secrets", name=name)).decision for name in "aabbcc"}
    no, yes = Decision.NO_OPINION, Decision.ALLOW
    assert answers == {"a": yes, "b": yes, "c": no}


@pytest.mark.parametrize(
    "long",
    [
        ask("get", "pods" * 1_000),
        ask("get", "pods", ns="n" * 4_000),
        ask("get", "pods", user=UserInfo("u" * 4_000)),
        ask("get", "pods", user=UserInfo("u", ("",) * 4_000)),
    ],
)
def test_answers_to_long_questions_are_not_kept(long: Attributes):
    rbac = RbacAuthorizer(FakeLister(READER, binding("b", "ClusterRole/reader", "User/jane")))
    assert rbac.authorize(long) == rbac.authorize(long)
    kept = [(key, grants.candidates) for key, grants in rbac._grants.items()]
    assert len(repr(kept)) < 1_000
    assert rbac.authorize(ask("get", "pods")).decision is Decision.ALLOW


def test_kept_answers_are_bounded_over_all_namespaces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ekslab.kube.auth.rbac._CANDIDATES_MOST", 10)
    rbac = RbacAuthorizer(FakeLister(READER, binding("b", "ClusterRole/reader", "User/jane")))
    for number in range(100):
        question = ask("get", f"things{number}", ns=f"n{number % 7}")
        assert rbac.authorize(question).decision is Decision.NO_OPINION
        assert rbac.authorize(ask("get", "pods", ns=f"n{number % 7}")).decision is Decision.ALLOW
        assert sum(len(grants.candidates) for grants in rbac._grants.values()) <= 10


def test_rules_for_a_user_are_all_of_them_in_order():
    lister = FakeLister(
        READER,
        role("writer", rule("create", "pods"), namespace="shop"),
        binding("read", "ClusterRole/reader", "Group/dev"),
        binding("write", "Role/writer", "User/jane", namespace="shop"),
        binding("gone", "Role/gone", "User/jane", namespace="shop"),
    )
    found = RbacAuthorizer(lister).rules_for(JANE, "shop")
    assert [rule.verbs for rule in found.rules] == [("get", "list", "watch"), ("create",)]
    assert found.errors == ('role.rbac.authorization.k8s.io "gone" not found',)


def test_a_role_reference_that_leads_nowhere_is_an_error():
    with pytest.raises(MissingRoleError, match="unsupported role reference kind"):
        RbacAuthorizer(FakeLister()).rules_of({"kind": "Thing", "name": "x"}, "")


@pytest.mark.parametrize(
    ("owner", "wanted", "missing"),
    [
        pytest.param(rule("*", "*", group="*"), rule("get,list", "pods"), 0, id="all"),
        pytest.param(rule("get", "pods"), rule("get,list", "pods"), 1, id="one verb more"),
        pytest.param(rule("get", "pods", names="a"), rule("get", "pods"), 1, id="names are less"),
        pytest.param(
            rule("get", "pods"), rule("get", "pods", names="a"), 0, id="all names are more"
        ),
        pytest.param(
            rule("get", "*/scale"), rule("get", "deployments/scale"), 0, id="any subresource"
        ),
        pytest.param(rule("get", "pods"), rule("get", "pods/log"), 1, id="subresource apart"),
        pytest.param(
            PolicyRule(("get",), urls=("/a*",)),
            PolicyRule(("get",), urls=("/ab",)),
            0,
            id="path below",
        ),
        pytest.param(rule("*", "*", group="*"), PolicyRule(("get",), urls=("/ab",)), 1, id="path"),
    ],
)
def test_rules_cover_others_or_not(owner: PolicyRule, wanted: PolicyRule, missing: int):
    assert len(rules.covers([owner], [wanted])) == missing


def test_the_escalation_message_lists_what_is_missing():
    missing = rules.covers(
        [], [rule("get,list", "pods,secrets"), PolicyRule(("get",), urls=("/x",))]
    )
    assert rules.escalation_message(JANE, missing) == (
        'user "jane" (groups=["dev" "system:authenticated"]) is attempting to grant RBAC'
        " permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}\n'
        '{NonResourceURLs:["/x"], Verbs:["get"]}'
    )


def test_aggregation_takes_the_rules_of_chosen_roles_once_each():
    labels = {"to-view": "true"}
    first = role("a", rule("get", "pods"), labels=labels)
    second = role("b", rule("get", "pods"), rule("get", "secrets"), labels=labels)
    other = role("c", rule("get", "nodes"))
    selectors = [{"matchLabels": labels}]
    found = rules.aggregate("view", selectors, [first, second, other])
    assert [one["resources"] for one in found] == [["pods"], ["secrets"]]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        pytest.param(
            ask("list", "pods", ns="default"),
            'pods is forbidden: User "jane" cannot list resource "pods" in API group ""'
            ' in the namespace "default"',
            id="in a namespace",
        ),
        pytest.param(
            ask("get", "nodes", name="n1"),
            'nodes "n1" is forbidden: User "jane" cannot get resource "nodes" in API group ""'
            " at the cluster scope",
            id="at the cluster scope",
        ),
        pytest.param(
            ask("update", "deployments/scale", ns="shop", name="web", group="apps"),
            'deployments.apps "web" is forbidden: User "jane" cannot update resource'
            ' "deployments/scale" in API group "apps" in the namespace "shop"',
            id="subresource",
        ),
        pytest.param(
            get_path("/metrics"),
            'forbidden: User "jane" cannot get path "/metrics"',
            id="path",
        ),
        pytest.param(
            get_path("/<script>"),
            'forbidden: User "jane" cannot get path "/&lt;script&gt;"',
            id="no HTML",
        ),
    ],
)
def test_the_denial_has_the_words_kubectl_users_know(attributes: Attributes, message: str):
    error = denial(attributes, Verdict(Decision.NO_OPINION))
    assert (error.code, error.reason, error.message) == (403, "Forbidden", message)


def test_the_denial_ends_with_the_reason():
    error = denial(ask("list", "pods"), Verdict(Decision.NO_OPINION, "because"))
    assert error.message.endswith("at the cluster scope: because")


def test_masters_may_do_anything_and_the_first_opinion_decides():
    class Denier:
        def authorize(self, attributes: Attributes) -> Verdict:
            return Verdict(Decision.DENY, f"not {attributes.verb}")

    class Silent:
        def authorize(self, attributes: Attributes) -> Verdict:
            return Verdict(Decision.NO_OPINION, f"I know no {attributes.verb}")

    root = UserInfo("root", ("system:masters",))
    chain = AuthorizerChain([MastersAuthorizer(), Silent(), Denier()])
    assert chain.authorize(ask("get", "pods", user=root)).decision is Decision.ALLOW
    assert chain.authorize(ask("get", "pods")) == Verdict(Decision.DENY, "not get")
    silent = AuthorizerChain([Silent(), MastersAuthorizer(), Silent()])
    assert silent.authorize(ask("get", "pods")) == Verdict(
        Decision.NO_OPINION, "I know no get\nI know no get"
    )


@pytest.fixture(scope="module")
def fresh() -> RbacAuthorizer:
    """A cluster with nothing but its default roles."""
    return RbacAuthorizer(FakeLister(*bootstrap.objects()))


def account(name: str) -> UserInfo:
    return UserInfo(f"system:serviceaccount:kube-system:{name}")


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        pytest.param(
            get_path("/version", UserInfo("x", ("system:unauthenticated",))),
            True,
            id="anybody reads the version",
        ),
        pytest.param(
            get_path("/api", UserInfo("x", ("system:unauthenticated",))),
            False,
            id="strangers do not discover",
        ),
        pytest.param(get_path("/apis/apps/v1"), True, id="users discover"),
        pytest.param(
            ask("create", "selfsubjectaccessreviews", group="authorization.k8s.io"),
            True,
            id="users ask what they can",
        ),
        pytest.param(ask("list", "pods", ns="default"), False, id="users see nothing else"),
        pytest.param(
            ask(
                "update", "deployments/status", group="apps", user=account("deployment-controller")
            ),
            True,
            id="deployment controller",
        ),
        pytest.param(
            ask("create", "pods", user=account("deployment-controller")),
            False,
            id="deployment controller makes no pods",
        ),
        pytest.param(
            ask("create", "pods", ns="a", user=account("replicaset-controller")),
            True,
            id="replica set controller",
        ),
        pytest.param(
            ask("create", "pods/binding", ns="a", user=UserInfo("system:kube-scheduler")),
            True,
            id="scheduler binds",
        ),
        pytest.param(
            ask("list", "pods", user=UserInfo("n", ("system:nodes",))),
            False,
            id="nodes have no RBAC",
        ),
        pytest.param(
            ask(
                "get",
                "configmaps",
                ns="kube-system",
                name="extension-apiserver-authentication",
                user=UserInfo("system:kube-scheduler"),
            ),
            True,
            id="one config map",
        ),
        pytest.param(
            ask("list", "configmaps", ns="kube-system", user=UserInfo("system:kube-scheduler")),
            False,
            id="not all config maps",
        ),
    ],
)
def test_a_fresh_cluster_allows(*, fresh: RbacAuthorizer, attributes: Attributes, allowed: bool):
    assert (fresh.authorize(attributes).decision is Decision.ALLOW) is allowed


def test_edit_includes_view_and_admin_includes_edit():
    roles = {
        obj["metadata"]["name"]: obj for obj in bootstrap.objects() if obj["kind"] == "ClusterRole"
    }
    view, edit, admin = (rules.parse(roles[name]["rules"]) for name in ("view", "edit", "admin"))
    assert not rules.covers(edit, view)
    assert not rules.covers(admin, edit)
    assert rules.covers(view, edit)
    assert rules.covers(edit, admin)
