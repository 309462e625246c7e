"""What is told of requests, by the policy, and what never is."""

import json
from pathlib import Path

import pytest

from ekslab.kube.api.errors import not_found
from ekslab.kube.api.objects import encode
from ekslab.kube.api.ports import Answer, Decision, Verdict
from ekslab.kube.api.requests import ApiRequest, UserInfo
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import PODS, SECRETS
from ekslab.kube.apiserver.audit import Auditor, PolicyError, policy_of
from ekslab.kube.apiserver.audit_log import BACKUPS, AuditLog

JANE = UserInfo("jane", ("developers",), extra={"team": ("shop",)})
HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
SECRET = b'{"data":{"password":"aHVudGVyMg=="},"metadata":{"name":"login"}}'


class Lines:
    def __init__(self) -> None:
        self.events: list[dict] = []

    def write(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        self.events.append(json.loads(line))


def told(policy: str, request: ApiRequest, *, error=None, answer=None, user=JANE) -> list[dict]:
    lines = Lines()
    allowed = Verdict(Decision.ALLOW, 'RBAC: allowed by RoleBinding "dev/shop"')
    auditor = Auditor(
        policy_of((HEAD + policy).encode()), lines, now=lambda: 0.0, decide=lambda _request: allowed
    )
    audited = auditor.begin(
        request, asker=user, audit_id="id-1", uri="/the/uri?x=1", source="127.0.0.1"
    )
    if audited is not None:
        audited.error, audited.answer = error, answer
        auditor.note(audited, error.code if error else 200)
        if request.verb == "watch":
            auditor.note(audited, 200)
    return lines.events


def asks(verb: str, resource: Resource | None = PODS, **more) -> ApiRequest:
    more.setdefault("namespace", "shop")
    return ApiRequest(verb=verb, user=more.pop("user", JANE), resource=resource, **more)


def test_metadata_names_who_what_and_when_and_holds_no_body() -> None:
    create = asks("create", SECRETS, body=SECRET, user_agent="kubectl/v1.36")
    came, done = told("rules:\n- level: Metadata\n", create)
    assert came == {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": "id-1",
        "stage": "RequestReceived",
        "requestURI": "/the/uri?x=1",
        "verb": "create",
        "user": {"username": "jane", "groups": ["developers"], "extra": {"team": ["shop"]}},
        "sourceIPs": ["127.0.0.1"],
        "userAgent": "kubectl/v1.36",
        "objectRef": {"resource": "secrets", "namespace": "shop", "apiVersion": "v1"},
        "requestReceivedTimestamp": "1970-01-01T00:00:00.000000Z",
        "stageTimestamp": "1970-01-01T00:00:00.000000Z",
    }
    assert (done["stage"], done["responseStatus"]) == (
        "ResponseComplete",
        {"metadata": {}, "code": 200},
    )
    assert done["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert "hunter" not in json.dumps([came, done])
    assert "aHVudGVyMg" not in json.dumps([came, done])


def test_bodies_are_told_at_the_levels_that_are_named_for_them() -> None:
    obj = {"kind": "Pod", "metadata": {"name": "web", "managedFields": [{"manager": "x"}]}}
    answer = Answer(item=encode(obj, resource="pods", revision=3, fields={}))
    create = asks("create", body=json.dumps(obj).encode())
    (done,) = told("omitStages: [RequestReceived]\nrules:\n- level: Request\n", create)
    assert done["requestObject"] == obj
    assert "responseObject" not in done
    policy = "omitManagedFields: true\nrules:\n- level: RequestResponse\n"
    _, done = told(policy, create, answer=answer)
    assert done["requestObject"] == {"kind": "Pod", "metadata": {"name": "web"}}
    assert "managedFields" not in done["responseObject"]["metadata"]


def test_a_watch_is_told_of_when_it_opens_and_when_it_ends() -> None:
    stages = [event["stage"] for event in told("rules:\n- level: Metadata\n", asks("watch"))]
    assert stages == ["RequestReceived", "ResponseStarted", "ResponseComplete"]


def test_an_error_is_told_with_its_reason() -> None:
    _, done = told(
        "rules:\n- level: Metadata\n", asks("get", name="web"), error=not_found("", "pods", "web")
    )
    assert done["responseStatus"]["code"] == 404
    assert done["responseStatus"]["reason"] == "NotFound"
    assert done["responseStatus"]["message"] == 'pods "web" not found'


def test_who_acts_as_another_is_told_with_both_names() -> None:
    request = asks("list", user=UserInfo("other", ("a",)))
    came, _ = told("rules:\n- level: Metadata\n", request)
    assert came["user"]["username"] == "jane"
    assert came["impersonatedUser"] == {"username": "other", "groups": ["a"]}


@pytest.mark.parametrize(
    ("rule", "request_", "is_told"),
    [
        ("users: [jane]", asks("get"), True),
        ("users: [joe]", asks("get"), False),
        ("userGroups: [developers]", asks("get"), True),
        ("verbs: [list]", asks("get"), False),
        ("namespaces: [shop]", asks("get"), True),
        ("namespaces: [other]", asks("get"), False),
        ('namespaces: [""]', asks("get", namespace=""), True),
        ('resources: [{group: "", resources: [pods]}]', asks("get"), True),
        ('resources: [{group: "", resources: [pods]}]', asks("get", subresource="log"), False),
        ('resources: [{group: "", resources: [pods/log]}]', asks("get", subresource="log"), True),
        ('resources: [{group: "", resources: ["*/log"]}]', asks("get", subresource="log"), True),
        ("resources: [{group: apps}]", asks("get"), False),
        ('resources: [{group: "", resourceNames: [web]}]', asks("get", name="web"), True),
        ('resources: [{group: ""}]', asks("get", None, path="/healthz"), False),
        ('nonResourceURLs: ["/healthz*"]', asks("get", None, path="/healthz/etcd"), True),
        ('nonResourceURLs: ["/healthz*"]', asks("get"), False),
    ],
)
def test_rules_fit_as_upstreams_do(rule: str, request_: ApiRequest, *, is_told: bool) -> None:
    assert bool(told(f"rules:\n- level: Metadata\n  {rule}\n", request_)) is is_told


def test_the_first_rule_that_fits_decides() -> None:
    policy = "rules:\n- level: None\n  verbs: [get]\n- level: Metadata\n"
    assert told(policy, asks("get")) == []
    assert len(told(policy, asks("list"))) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Pod", "expected a Policy"),
        (HEAD, "rules: expected at least one"),
        (HEAD + "rules: [{level: Much}]", "'Much' is not a valid Level"),
        (HEAD + "rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]", "cannot apply"),
        ("a: [", "yaml: "),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(text: str, says: str) -> None:
    with pytest.raises(PolicyError, match=says):
        policy_of(text.encode())


def test_the_log_is_its_owners_and_stays_within_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(path, bytes_most=100)
    for number in range(100):
        log.write(b"%039d\n" % number)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 1 + BACKUPS
    assert all(file.stat().st_size <= 100 for file in files)
    assert path.stat().st_mode & 0o777 == 0o600
    assert int(path.read_bytes().splitlines()[-1]) == 99


def test_what_cannot_be_written_is_counted_and_hurts_nobody(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    log.close()
    log.write(b"{}\n")
    assert log.lost == 1
