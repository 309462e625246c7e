"""Certificate requests: who approves them, what is issued, what is refused, what is cleared."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ekslab.kube.api.objects import editable
from ekslab.kube.api.requests import Object, UserInfo
from ekslab.kube.api.well_known import CERTIFICATE_SIGNING_REQUESTS as REQUESTS
from ekslab.kube.api.well_known import CLUSTER_ROLE_BINDINGS
from ekslab.kube.controllers.certificates import plan
from tests.controllers.test_in_cluster import Lab, lived

NODE = "system:node:a"
KUBELET = ["digital signature", "client auth"]
SERVING = ["digital signature", "key encipherment", "server auth"]


def pem(common_name: str, *organizations: str, names: tuple[x509.GeneralName, ...] = ()) -> str:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def request(name: str, signer: str, text: str, usages: list[str], **spec: Any) -> Object:
    return {
        "apiVersion": REQUESTS.api_version,
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {"request": text, "signerName": signer, "usages": usages, **spec},
    }


DNS = (x509.DNSName("a.local"),)
MAIL = (x509.RFC822Name("a@b.c"),)


@pytest.mark.parametrize(
    ("signer", "text", "usages", "why"),
    [
        (plan.KUBELET_CLIENT, pem(NODE, "system:nodes"), KUBELET, ""),
        (plan.KUBELET_CLIENT, pem(NODE, "system:nodes"), [*KUBELET, "key encipherment"], ""),
        (plan.KUBELET_CLIENT, pem(NODE, "others"), KUBELET,
         "subject organization is not system:nodes"),
        (plan.KUBELET_CLIENT, pem("a", "system:nodes"), KUBELET,
         "subject common name does not begin with system:node:"),
        (plan.KUBELET_CLIENT, pem(NODE, "system:nodes", names=DNS), KUBELET,
         "DNS subjectAltNames are not allowed"),
        (plan.KUBELET_CLIENT, pem(NODE, "system:nodes"), SERVING,
         "usages did not match [client auth digital signature key encipherment]"),
        (plan.KUBELET_SERVING, pem(NODE, "system:nodes", names=DNS), SERVING, ""),
        (plan.KUBELET_SERVING, pem(NODE, "system:nodes"), SERVING,
         "DNS or IP subjectAltName is required"),
        (plan.KUBELET_SERVING, pem(NODE, "system:nodes", names=(*DNS, *MAIL)), SERVING,
         "Email subjectAltNames are not allowed"),
        (plan.API_CLIENT, pem("jane", "developers"), ["client auth"], ""),
        (plan.API_CLIENT, pem("jane"), ["client auth", "server auth"],
         "usages did not match [client auth digital signature key encipherment]"),
    ],
)  # fmt: skip
def test_each_signer_issues_what_it_is_for(
    signer: str, text: str, usages: list[str], why: str
) -> None:
    asked = plan.read(text)
    assert asked is not None
    assert plan.problem(signer, asked, usages) == why


def test_a_kubelet_is_approved_for_itself_or_as_a_client_of_nodes() -> None:
    csr = request("a", plan.KUBELET_CLIENT, pem(NODE, "system:nodes"), KUBELET)
    assert [one for one, _ in plan.approvals(csr)] == ["nodeclient"]
    csr["spec"]["username"] = NODE
    assert [one for one, _ in plan.approvals(csr)] == ["selfnodeclient", "nodeclient"]
    assert plan.approvals(plan.approved(csr, "yes", "now")) == ()
    assert plan.approvals(request("b", plan.API_CLIENT, pem("jane"), ["client auth"])) == ()


@pytest.mark.parametrize(("seconds", "life"), [(None, 31_536_000), (60, 600), (3600, 3600)])
def test_a_certificate_lives_as_long_as_asked_within_a_year(seconds: int | None, life: int) -> None:
    csr = request("a", plan.API_CLIENT, pem("jane"), ["client auth"], expirationSeconds=seconds)
    assert plan.life_s(csr) == life


def certificate_of(csr: Object) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(csr["status"]["certificate"]))


def conditions(csr: Object) -> dict[str, Object]:
    return {one["type"]: one for one in (csr.get("status") or {}).get("conditions") or ()}


def test_requests_are_approved_issued_refused_and_cleared_in_a_cluster() -> None:
    async def story(lab: Lab) -> None:
        def now(name: str) -> Object:
            return next((o for o in lab.all(REQUESTS, "") if o["metadata"]["name"] == name), {})

        bootstrapper = UserInfo("boot", ("system:bootstrappers", "system:authenticated"))
        for role in ("nodeclient", "node-bootstrapper"):
            full = f"system:certificates.k8s.io:certificatesigningrequests:{role}"
            name = full if role == "nodeclient" else "system:node-bootstrapper"
            await lab.client.create(
                CLUSTER_ROLE_BINDINGS,
                {
                    "apiVersion": CLUSTER_ROLE_BINDINGS.api_version,
                    "kind": "ClusterRoleBinding",
                    "metadata": {"name": f"boot-{role}"},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                                "name": name},
                    "subjects": [{"kind": "Group", "name": "system:bootstrappers",
                                  "apiGroup": "rbac.authorization.k8s.io"}],
                },
            )  # fmt: skip
        kubelet = request("kubelet", plan.KUBELET_CLIENT, pem(NODE, "system:nodes"), KUBELET)
        kubelet["spec"] |= {"username": "system:admin", "groups": ["system:masters"]}
        made = await lab.cluster.client(bootstrapper).create(REQUESTS, kubelet)
        assert made["spec"]["username"] == "boot", "nobody asks in another's name"
        assert "system:masters" not in made["spec"]["groups"]
        await lab.until(lambda: (now("kubelet").get("status") or {}).get("certificate"))
        done = now("kubelet")
        message = "Auto approving kubelet client certificate after SubjectAccessReview."
        assert conditions(done)["Approved"]["message"] == message
        certificate = certificate_of(done)
        certificate.verify_directly_issued_by(lab.cluster.authority.certificate)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]

        # A person's waits until somebody approves it; a wrong one fails then.
        for name, usages in (("jane", ["client auth"]), ("odd", ["server auth"])):
            await lab.client.create(REQUESTS, request(name, plan.API_CLIENT, pem(name), usages))
        await lab.clock.sleep(5)
        for name in ("jane", "odd"):
            assert "status" not in now(name) or not now(name)["status"]
            approved = plan.approved(editable(now(name)), "by hand", "2026-01-01T00:00:00Z")
            await lab.client.update(REQUESTS, approved, subresource="approval")
        await lab.until(lambda: "Failed" in conditions(now("odd")))
        assert conditions(now("odd"))["Failed"]["reason"] == "SignerValidationFailure"
        await lab.until(lambda: (now("jane").get("status") or {}).get("certificate"))
        assert certificate_of(now("jane")).subject.rfc4514_string() == "CN=jane"
        await lab.clock.sleep(3700)
        assert lab.all(REQUESTS, "") == []

    lived(story, nodes=0)
