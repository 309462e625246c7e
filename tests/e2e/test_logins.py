"""Who gets in and what they may: over real TLS, with tokens made by botocore."""

import base64
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.e2e.lab import Lab
from tests.e2e.wire import Api, Reply, admin, aws, eks_token, session, unwrap, wrap

PODS = "/api/v1/namespaces/default/pods"
UNAUTHORIZED = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "Unauthorized",
    "reason": "Unauthorized",
    "code": 401,
}
POLICY = "arn:aws:eks::aws:cluster-access-policy/"
ACCOUNT = "123456789012"


@pytest.fixture(scope="module")
def api(lab: Lab) -> Api:
    return admin(lab)


class User:
    """An IAM user with keys of their own."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.name = name
        iam = aws(lab, "iam")
        self.arn = iam.create_user(UserName=name)["User"]["Arn"]
        self.key_id = ""
        self._secret = ""
        self.new_key()

    def new_key(self) -> None:
        key = aws(self.lab, "iam").create_access_key(UserName=self.name)["AccessKey"]
        self.key_id, self._secret = key["AccessKeyId"], key["SecretAccessKey"]

    def keys(self) -> dict[str, str]:
        return {"aws_access_key_id": self.key_id, "aws_secret_access_key": self._secret}

    def at(self, api: Api) -> Api:
        return api.with_token(eks_token(session(self.lab, **self.keys()), "lab"))


def replaced(token: str, old: str, new: str) -> str:
    url = unwrap(token)
    assert re.search(old, url), url
    return wrap(re.sub(old, new, url))


def signed_at(keys: Credentials, when: datetime) -> str:
    """A token as it was made some time ago."""

    class Then(SigV4QueryAuth):
        def add_auth(self, request: AWSRequest) -> None:
            request.context["timestamp"] = when.strftime("%Y%m%dT%H%M%SZ")
            self._modify_request_before_signing(request)
            string = self.string_to_sign(request, self.canonical_request(request))
            self._inject_signature_to_request(request, self.signature(string, request))

    request = AWSRequest(
        "GET",
        "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15",
        headers={"x-k8s-aws-id": "lab"},
    )
    Then(keys, "sts", "us-east-1", expires=60).add_auth(request)
    return wrap(str(request.url))


def bad_tokens(lab: Lab) -> Iterator[tuple[str, str]]:
    """Tokens that open nothing, by what is wrong with them."""
    own = session(lab)
    good = eks_token(own, "lab")
    yield "no token", ""
    yield "not a token", "nonsense"
    yield "a token of nothing", "k8s-aws-v1."
    yield "no base64", "k8s-aws-v1.***"
    yield "no URL", wrap("nonsense")
    yield "an unsigned URL", wrap(unwrap(good).partition("&X-Amz-Signature")[0])
    yield "a changed signature", replaced(good, "Signature=....", "Signature=0000")
    yield "another cluster's token", eks_token(own, "other")
    yield "another cluster's name in the URL", eks_token(own, "lab/../lab")
    yield "another host", replaced(good, "sts.us-east-1.amazonaws.com", "sts.example.com")
    yield (
        "a host that only begins well",
        eks_token(own, "lab", host="sts.us-east-1.amazonaws.com.example.com"),
    )
    yield "a port", replaced(good, "amazonaws.com/", "amazonaws.com:444/")
    yield "a user in the URL", replaced(good, "https://", "https://me@")
    yield "http", replaced(good, "https://", "http://")
    yield "a path", replaced(good, "amazonaws.com/", "amazonaws.com/x")
    yield "another action, well signed", eks_token(own, "lab", action="GetSessionToken")
    yield "another action, put in", replaced(good, "GetCallerIdentity", "GetSessionToken")
    yield (
        "a header no longer signed",
        replaced(good, "SignedHeaders=host%3Bx-k8s-aws-id", "SignedHeaders=host"),
    )
    yield "a parameter more", wrap(unwrap(good) + "&Foo=bar")
    yield "a parameter twice", wrap(unwrap(good) + "&Action=GetCallerIdentity")
    yield "a life too long", eks_token(own, "lab", expires_s=3600)
    yield "a life made longer", replaced(good, "Expires=60", "Expires=900")
    yield "expired", signed_at(own.get_credentials(), datetime.now(UTC) - timedelta(minutes=16))
    yield "of the future", signed_at(own.get_credentials(), datetime.now(UTC) + timedelta(hours=1))
    yield (
        "an unknown key",
        eks_token(
            session(lab, aws_access_key_id="AKIAAAAAAAAAAAAAAAAA", aws_secret_access_key="x"), "lab"
        ),
    )
    yield (
        "another's secret",
        eks_token(
            session(
                lab,
                aws_access_key_id=lab.environment["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key="x" * 40,
            ),
            "lab",
        ),
    )
    yield "a session token put in", wrap(unwrap(good) + "&X-Amz-Security-Token=x")
    yield "an unsigned JWT", jwt({"alg": "none"}, {"sub": "system:admin"}, b"")
    yield (
        "a JWT of another's key",
        jwt(
            {"alg": "RS256", "kid": "x"},
            {"iss": "https://kubernetes.default.svc", "sub": "system:serviceaccount:default:me"},
            b"x" * 256,
        ),
    )
    yield "a token too long", "k8s-aws-v1." + "a" * 20_000


def jwt(header: dict[str, str], claims: dict[str, str], signature: bytes) -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def test_a_good_token_opens_the_door(lab: Lab, api: Api) -> None:
    assert api("GET", PODS).code == 200
    assert api.with_token(signed_at(session(lab).get_credentials(), datetime.now(UTC)))(
        "GET", PODS
    ).code == 200  # fmt: skip


def test_a_bad_token_is_refused_without_a_word_that_helps(lab: Lab, api: Api) -> None:
    wrong = {}
    for name, token in bad_tokens(lab):
        reply = api.with_token(token)("GET", PODS)
        if (reply.code, reply.content and reply.body) != (401, UNAUTHORIZED):
            wrong[name] = (reply.code, reply.content)
    assert not wrong


def test_an_inactive_or_deleted_key_opens_nothing(lab: Lab, api: Api) -> None:
    user = User(lab, "leaver")
    entry = {"clusterName": "lab", "principalArn": user.arn}
    aws(lab, "eks").create_access_entry(**entry, kubernetesGroups=["leavers"])
    lab.eventually(lambda: user.at(api)("GET", PODS).code == 403)
    key = {"UserName": "leaver", "AccessKeyId": user.key_id}
    iam = aws(lab, "iam")
    # The server remembers a good token for some seconds: each new second has a new one.
    iam.update_access_key(**key, Status="Inactive")
    lab.eventually(lambda: user.at(api)("GET", PODS).body == UNAUTHORIZED)
    iam.update_access_key(**key, Status="Active")
    lab.eventually(lambda: user.at(api)("GET", PODS).code == 403)
    iam.delete_access_key(**key)
    lab.eventually(lambda: user.at(api)("GET", PODS).body == UNAUTHORIZED)
    user.new_key()
    assert user.at(api)("GET", PODS).code == 403
    aws(lab, "eks").delete_access_entry(**entry)
    lab.eventually(lambda: user.at(api)("GET", PODS).code == 401)


def test_a_user_without_access_entry_is_a_stranger_and_with_one_has_no_rights_yet(
    lab: Lab, api: Api
) -> None:
    user = User(lab, "newcomer")
    assert user.at(api)("GET", PODS).body == UNAUTHORIZED
    aws(lab, "eks").create_access_entry(clusterName="lab", principalArn=user.arn)
    lab.eventually(lambda: user.at(api)("GET", PODS).code == 403)
    assert user.at(api)("GET", PODS).body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'pods is forbidden: User "{user.arn}" cannot list resource "pods" in API group'
        ' "" in the namespace "default"',
        "reason": "Forbidden",
        "details": {"kind": "pods"},
        "code": 403,
    }
    environment = dict(lab.environment)
    lab.environment |= {
        "AWS_ACCESS_KEY_ID": user.keys()["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": user.keys()["aws_secret_access_key"],
    }
    try:
        shown = lab.kubectl("delete deployment nobodys -n kube-system", expect=1)
    finally:
        lab.environment = environment
    assert shown == (
        'Error from server (Forbidden): deployments.apps "nobodys" is forbidden: User'
        f' "{user.arn}" cannot delete resource "deployments" in API group "apps" in the namespace'
        ' "kube-system"\n'
    )


def test_a_view_policy_for_one_namespace_holds_there_alone(lab: Lab, api: Api) -> None:
    user = User(lab, "viewer")
    eks = aws(lab, "eks")
    who = {"clusterName": "lab", "principalArn": user.arn}
    eks.create_access_entry(**who)
    eks.associate_access_policy(
        **who,
        policyArn=POLICY + "AmazonEKSViewPolicy",
        accessScope={"type": "namespace", "namespaces": ["default"]},
    )
    lab.eventually(lambda: user.at(api)("GET", PODS).code == 200)
    me = user.at(api)
    assert me("GET", "/api/v1/namespaces/kube-system/pods").code == 403
    assert me("GET", "/api/v1/pods").code == 403
    assert me("GET", "/api/v1/namespaces/default/secrets").code == 403
    assert me("DELETE", PODS + "/x").code == 403
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    assert me("POST", "/api/v1/namespaces/default/configmaps", body).code == 403
    eks.disassociate_access_policy(**who, policyArn=POLICY + "AmazonEKSViewPolicy")
    lab.eventually(lambda: me("GET", PODS).code == 403)


def test_a_line_in_aws_auth_maps_a_user(lab: Lab, api: Api) -> None:
    user = User(lab, "oldtimer")
    path = "/api/v1/namespaces/kube-system/configmaps/aws-auth"
    row = f"- {{userarn: '{user.arn}', username: old-timer, groups: [seniors]}}\n"
    before = api("GET", path)
    mode = aws(lab, "eks").describe_cluster(name="lab")["cluster"]["accessConfig"]
    assert mode["authenticationMode"] == "API_AND_CONFIG_MAP"
    if before.code == 404:
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aws-auth"}}
        assert api("POST", path.rpartition("/")[0], made).code == 201
    patch = {"data": {"mapUsers": row}}
    kind = "application/merge-patch+json"
    assert api("PATCH", path, patch, content_type=kind).code == 200
    bind(api, "seniors-view", "view", {"kind": "Group", "name": "seniors"})
    lab.eventually(lambda: user.at(api)("GET", PODS).code == 200)
    assert whoami(user.at(api))["username"] == "old-timer"
    assert whoami(user.at(api))["groups"] == ["seniors", "system:authenticated"]
    broken = {"data": {"mapUsers": "- {userarn: ["}}
    assert api("PATCH", path, broken, content_type=kind).code == 200
    lab.eventually(lambda: user.at(api)("GET", PODS).code == 401)
    assert api("GET", PODS).code == 200


def bind(api: Api, name: str, role: str, subject: dict[str, str]) -> None:
    reply = api(
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": role,
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", **subject}],
        },
    )
    assert reply.code == 201, reply.content


def whoami(api: Api) -> dict[str, Any]:
    reply: Reply = api(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
    )
    info: dict[str, Any] = reply.body["status"]["userInfo"]
    return info


def test_a_service_account_logs_in_while_it_is_there(lab: Lab, api: Api) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    assert api("POST", accounts, body).code == 201
    token = lab.kubectl("create token robot --duration=1h").strip()
    unused = api.with_token(lab.kubectl("create token robot --duration=2h").strip())
    robot = api.with_token(token)
    assert whoami(robot)["username"] == "system:serviceaccount:default:robot"
    assert robot("GET", PODS).body["message"] == (
        'pods is forbidden: User "system:serviceaccount:default:robot" cannot list resource "pods"'
        ' in API group "" in the namespace "default"'
    )
    assert api.with_token(token[:-8] + "AAAAAAAA")("GET", PODS).body == UNAUTHORIZED
    assert api("DELETE", accounts + "/robot").code == 200
    assert unused("GET", PODS).body == UNAUTHORIZED
    assert api("POST", accounts, body).code == 201
    assert unused("GET", PODS).body == UNAUTHORIZED, "the token is of the account deleted"


def test_a_token_for_another_audience_opens_nothing(lab: Lab, api: Api) -> None:
    token = lab.kubectl("create token default --audience=sts.amazonaws.com").strip()
    assert api.with_token(token)("GET", PODS).body == UNAUTHORIZED


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate(
    folder: Path, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None, *, hours: int = 1
) -> tuple[Path, Path]:
    """A client certificate for `dora` of `auditors`, signed by the issuer or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "auditors"),
            x509.NameAttribute(NameOID.COMMON_NAME, "dora"),
        ]
    )
    signer, signing_key = issuer or (name, key)
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(signer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=2))
        .not_valid_after(now + timedelta(hours=hours))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(signing_key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(pem(key))
    return paths


def authority(lab: Lab) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    """The cluster's own authority, from the lab's private directory."""
    folder = lab.home / "clusters" / "lab"
    found = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return found.subject, key


def test_a_certificate_of_the_cluster_names_its_bearer(lab: Lab, api: Api, tmp_path: Path) -> None:
    dora = api.with_certificate(*certificate(tmp_path, authority(lab)))
    assert whoami(dora)["username"] == "dora"
    assert whoami(dora)["groups"] == ["auditors", "system:authenticated"]
    assert dora("GET", PODS).body["message"].startswith('pods is forbidden: User "dora" cannot')


@pytest.mark.parametrize("kind", ["of a stranger", "expired"])
def test_any_other_certificate_is_refused(lab: Lab, api: Api, tmp_path: Path, kind: str) -> None:
    if kind == "expired":
        paths = certificate(tmp_path, authority(lab), hours=-1)
    else:
        paths = certificate(tmp_path, None)
    try:
        reply = api.with_certificate(*paths)("GET", PODS)
    except OSError:
        return  # refused in the handshake
    assert reply.body == UNAUTHORIZED


DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments"
SETS = "/apis/apps/v1/namespaces/default/replicasets"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"


def workload(kind: str, name: str) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "main", "image": "nginx"}]},
            },
        },
    }


def test_a_controller_without_its_binding_stops_and_no_other(lab: Lab, api: Api) -> None:
    name = f"{BINDINGS}/system:controller:deployment-controller"
    binding = api("GET", name).body
    assert api("DELETE", name).code == 200
    try:
        assert api("POST", DEPLOYMENT, workload("Deployment", "stopped")).code == 201
        assert api("POST", SETS, workload("ReplicaSet", "going")).code == 201
        going = f"{PODS}?labelSelector=app%3Dgoing"
        lab.eventually(lambda: len(api("GET", going).body["items"]) == 2)
        stopped = f"{SETS}?labelSelector=app%3Dstopped"
        assert not api("GET", stopped).body["items"]
        lab.eventually(lambda: "deployment-controller" in denials(lab))
        assert denials(lab) == {"deployment-controller"}
    finally:
        del binding["metadata"]["resourceVersion"], binding["metadata"]["uid"]
        assert api("POST", BINDINGS, binding).code == 201
    lab.eventually(
        lambda: len(api("GET", f"{PODS}?labelSelector=app%3Dstopped").body["items"]) == 2
    )
    for path in (DEPLOYMENT + "/stopped", SETS + "/going"):
        assert api("DELETE", path).code == 200


def denials(lab: Lab) -> set[str]:
    """Which controllers' logs say that they were forbidden something."""
    said = lab.ekslab("logs", "clusters", "--lines", "20000")
    return set(
        re.findall(
            r"is forbidden: User \\*\"system:serviceaccount:kube-system:([\w-]+)\\*\" cannot", said
        )
    )
