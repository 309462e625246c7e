import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ekslab.kube.api.ports import Decision, Verdict
from ekslab.kube.api.requests import Attributes, Object
from ekslab.kube.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from tests.admission.requests import asked, run
from tests.fakes.lister import meta

SIGNER = "example.com/team"
API_CLIENT = "kubernetes.io/kube-apiserver-client"


class Signers:
    """Allows the verbs on signers it is made with."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed

    def authorize(self, attributes: Attributes) -> Verdict:
        asked_for = f"{attributes.verb} {attributes.name}"
        named = attributes.group == "certificates.k8s.io" and attributes.resource == "signers"
        yes = named and asked_for in self.allowed
        return Verdict(Decision.ALLOW if yes else Decision.NO_OPINION)


def csr(*organizations: str, signer: str = SIGNER, status: Object | None = None) -> Object:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, "jane")]
    names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    request = base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()
    spec = {"signerName": signer, "request": request}
    return {"metadata": meta("c"), "spec": spec, "status": status or {}}


PLAIN = csr()
ISSUED = {**PLAIN, "status": {"certificate": "eA=="}}
PREFIX = 'certificatesigningrequests.certificates.k8s.io "c" is forbidden: '


@pytest.mark.parametrize("grant", [f"approve {SIGNER}", "approve example.com/*"])
async def test_who_may_approve_for_the_signer_approves(grant: str):
    plugin = CertificateApproval(Signers(grant))
    request = asked("update", "certificatesigningrequests/approval", PLAIN, old=PLAIN)
    assert await run(plugin, request) == PLAIN


@pytest.mark.parametrize("grant", ["", f"sign {SIGNER}", "approve other.com/*"])
async def test_others_do_not_approve(grant: str):
    plugin = CertificateApproval(Signers(grant))
    request = asked("update", "certificatesigningrequests/approval", PLAIN, old=PLAIN)
    why = f'user not permitted to approve requests with signerName "{SIGNER}"'
    assert await run(plugin, request) == (403, PREFIX + why)


async def test_issuing_needs_the_verb_sign():
    request = asked("update", "certificatesigningrequests/status", ISSUED, old=PLAIN)
    why = f'user not permitted to sign requests with signerName "{SIGNER}"'
    assert await run(CertificateSigning(Signers()), request) == (403, PREFIX + why)
    assert await run(CertificateSigning(Signers(f"sign {SIGNER}")), request) == ISSUED


async def test_a_status_update_that_issues_nothing_needs_nothing():
    request = asked("update", "certificatesigningrequests/status", ISSUED, old=ISSUED)
    assert await run(CertificateSigning(Signers()), request) == ISSUED


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        pytest.param(csr("dev", signer=API_CLIENT), "", id="ordinary group"),
        pytest.param(csr("system:masters"), "", id="another signer"),
        pytest.param(
            csr("dev", "system:masters", signer=API_CLIENT),
            f"use of {API_CLIENT} signer with system:masters group is not allowed",
            id="masters",
        ),
    ],
)
async def test_no_request_makes_anybody_a_master(wanted: Object, why: str):
    request = asked("create", "certificatesigningrequests", wanted)
    result = await run(CertificateSubjectRestriction(), request)
    assert result == ((403, PREFIX + why) if why else wanted)


async def test_a_request_that_is_none_is_refused():
    broken = csr(signer=API_CLIENT)
    broken["spec"]["request"] = base64.b64encode(b"garbage").decode()
    result = await run(
        CertificateSubjectRestriction(), asked("create", "certificatesigningrequests", broken)
    )
    assert result[0] == 403
    assert result[1].startswith(PREFIX + "failed to parse CSR: ")
