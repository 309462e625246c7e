"""Certificates, service accounts and their tokens, access reviews."""

import base64
import json
from contextlib import closing

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwk, jwt

from tests.conformance.api import Api, Object
from tests.conformance.verbs import (
    annotated,
    changed,
    discovered,
    keeps_status,
    takes_all_verbs,
)

conformance = pytest.mark.conformance

CERTIFICATES = "certificates.k8s.io/v1"
AUTHORIZATION = "authorization.k8s.io/v1"


def signing_request(name: str) -> Object:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = made.public_bytes(serialization.Encoding.PEM)
    return {
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": "example.com/shower",
            "usages": ["client auth"],
        }
    }


@conformance("csr-api")
def test_signing_requests_take_all_verbs(api: Api) -> None:
    names = "certificatesigningrequests", "certificatesigningrequests/approval"
    discovered(api, CERTIFICATES, *names, "certificatesigningrequests/status")
    takes_all_verbs(api.at(CERTIFICATES, "certificatesigningrequests"), signing_request)


@conformance("csr-api")
def test_approval_and_status_of_a_signing_request_are_written_apart(api: Api) -> None:
    requests = api.at(CERTIFICATES, "certificatesigningrequests")
    requests.create({"metadata": {"name": "approved"}, **signing_request("approved")})
    assert requests.get("approved", "approval")["spec"]["signerName"] == "example.com/shower"
    patched = requests.patch("approved", annotated("patched", "approval"), "approval")
    assert patched["metadata"]["annotations"]["patched"] == "approval"
    approval = {"type": "Approved", "status": "True", "reason": "Shown", "message": "here"}
    put = changed(requests, "approved", {"status": {"conditions": [approval]}}, "approval")
    assert [one["type"] for one in put["status"]["conditions"]] == ["Approved"]
    keeps_status(
        requests, "approved",
        patched={"conditions": [approval, {"type": "Failed", "status": "True", "reason": "Shown"}]},
        put={"conditions": [approval, {"type": "Failed", "status": "True", "reason": "Put"}]},
    )  # fmt: skip


@conformance("serviceaccount-lifecycle")
def test_a_service_account_is_watched_through_its_life(api: Api, namespace: str) -> None:
    accounts = api.at("v1", "serviceaccounts", namespace)
    body = {"metadata": {"name": "shown", "labels": {"show": namespace}}}
    with accounts.watch(labelSelector=f"show={namespace}") as watch:
        made = accounts.create(body)
        assert watch.next() == ("ADDED", made)
        patched = accounts.patch("shown", {"automountServiceAccountToken": False})
        assert patched["automountServiceAccountToken"] is False
        assert watch.next() == ("MODIFIED", patched)
        (found,) = accounts.everywhere().list(labelSelector=f"show={namespace}")["items"]
        assert found["automountServiceAccountToken"] is False
        accounts.delete_all(labelSelector=f"show={namespace}")
        assert watch.next()[0] == "DELETED"


@conformance("serviceaccount-update")
def test_a_service_account_is_put(api: Api, namespace: str) -> None:
    accounts = api.at("v1", "serviceaccounts", namespace)
    accounts.create({"metadata": {"name": "put"}, "automountServiceAccountToken": False})
    changed(accounts, "put", {"automountServiceAccountToken": True})
    assert accounts.get("put")["automountServiceAccountToken"] is True


@conformance("serviceaccount-oidc-discovery")
def test_a_token_verifies_against_the_keys_of_its_issuer(api: Api, namespace: str) -> None:
    configuration = api.do("GET", "/.well-known/openid-configuration")
    accounts = api.at("v1", "serviceaccounts", namespace)
    body = {"spec": {"audiences": ["shown"], "expirationSeconds": 600}}
    token = api.do("POST", accounts.path("default", "token"), body)["status"]["token"]
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header["alg"] in configuration["id_token_signing_alg_values_supported"]
    assert configuration["jwks_uri"].endswith("/openid/v1/jwks")
    assert configuration["response_types_supported"] == ["id_token"]
    assert configuration["subject_types_supported"] == ["public"]
    keys = jwk.KeySet.import_key_set(api.do("GET", "/openid/v1/jwks"))
    claims = jwt.decode(token, keys, algorithms=[header["alg"]]).claims
    assert claims["iss"] == configuration["issuer"]
    assert claims["sub"] == f"system:serviceaccount:{namespace}:default"
    assert claims["aud"] == ["shown"]


@conformance("subjectreview-api")
@pytest.mark.parametrize("bound", [True, False])
def test_reviews_say_of_an_account_what_its_calls_show(
    api: Api,
    namespace: str,
    bound: bool,  # noqa: FBT001 - one table, two rows
) -> None:
    user = f"system:serviceaccount:{namespace}:default"
    if bound:
        let_read_config_maps(api, namespace)
    attributes = {"verb": "list", "resource": "configmaps", "namespace": namespace}
    spec = {"user": user, "resourceAttributes": attributes}
    local = api.at(AUTHORIZATION, "localsubjectaccessreviews", namespace)
    review = {"metadata": {"namespace": namespace}, "spec": spec}
    answers = [
        api.at(AUTHORIZATION, "subjectaccessreviews").create({"spec": spec}),
        local.create(review),
    ]
    assert [answer["status"]["allowed"] for answer in answers] == [bound, bound]
    path = api.at("v1", "configmaps", namespace).path()
    with closing(api.with_headers(Impersonate_User=user)) as theirs:
        reply = theirs.ask("GET", path)
    assert reply.code == (200 if bound else 403)


def let_read_config_maps(api: Api, namespace: str) -> None:
    group = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
    api.at(f"{group}/v1", "roles", namespace).create(
        {"metadata": {"name": "reader"}, "rules": [rule]}
    )
    api.at(f"{group}/v1", "rolebindings", namespace).create(
        {
            "metadata": {"name": "reader"},
            "roleRef": {
                "apiGroup": group,
                "kind": "Role",
                "name": "reader",
            },
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        }
    )
