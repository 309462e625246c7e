"""Plugins around CertificateSigningRequests: who approves, who signs, and for whom.

Upstream: `plugin/pkg/admission/certificates/{approval,signing,subjectrestriction}`.
"""

import base64
import binascii
from typing import ClassVar, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from ekslab.kube.api.ports import AdmissionRequest, Authorizer, Decision
from ekslab.kube.api.requests import Attributes, UserInfo
from ekslab.kube.api.well_known import MASTERS_GROUP
from ekslab.kube.apiserver.admission.chain import CREATE, UPDATE, Plugin, Takes, refusal

_CSR: Final = "certificatesigningrequests.certificates.k8s.io"
_API_CLIENT_SIGNER: Final = "kubernetes.io/kube-apiserver-client"


class CertificateRequester(Plugin):
    """Who asks stands in the request, whatever the request says (upstream: the strategy of the
    resource): approvers decide by it.
    """

    name = "CertificateRequester"
    takes: ClassVar[Takes] = {(_CSR, ""): CREATE}

    async def admit(self, request: AdmissionRequest) -> None:
        """Write name, uid, groups and extra of who asks."""
        assert request.obj is not None, "a creation has an object"
        user, spec = request.request.user, request.obj.setdefault("spec", {})
        extra = {key: list(values) for key, values in user.extra.items()}
        said = {"username": user.name, "uid": user.uid, "groups": [*user.groups], "extra": extra}
        for field, value in said.items():
            spec.pop(field, None)
            if value:
                spec[field] = value


class CertificateApproval(Plugin):
    """Approving needs the verb `approve` on the signer."""

    name = "CertificateApproval"
    takes: ClassVar[Takes] = {(_CSR, "approval"): UPDATE}

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuse who may not approve."""
        signer = _signer(request)
        if not _may(self._authorizer, request.request.user, "approve", signer):
            why = f'user not permitted to approve requests with signerName "{signer}"'
            raise refusal(request, why)


class CertificateSigning(Plugin):
    """Issuing needs the verb `sign` on the signer."""

    name = "CertificateSigning"
    takes: ClassVar[Takes] = {(_CSR, "status"): UPDATE}

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuse who may not sign, if certificate or conditions change."""
        before = (request.old or {}).get("status") or {}
        after = (request.obj or {}).get("status") or {}
        fields = ("certificate", "conditions")
        if all((before.get(field) or None) == (after.get(field) or None) for field in fields):
            return
        signer = _signer(request)
        if not _may(self._authorizer, request.request.user, "sign", signer):
            why = f'user not permitted to sign requests with signerName "{signer}"'
            raise refusal(request, why)


class CertificateSubjectRestriction(Plugin):
    """No certificate of the API client signer makes anybody a master."""

    name = "CertificateSubjectRestriction"
    takes: ClassVar[Takes] = {(_CSR, ""): CREATE}

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuse a subject in `system:masters`."""
        spec = (request.obj or {}).get("spec") or {}
        if spec.get("signerName") != _API_CLIENT_SIGNER:
            return
        try:
            wanted = x509.load_pem_x509_csr(base64.b64decode(spec.get("request", "")))
        except (ValueError, binascii.Error) as error:
            raise refusal(request, f"failed to parse CSR: {error}") from error
        organizations = wanted.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        if any(organization.value == MASTERS_GROUP for organization in organizations):
            why = f"use of {_API_CLIENT_SIGNER} signer with system:masters group is not allowed"
            raise refusal(request, why)


def _signer(request: AdmissionRequest) -> str:
    # The old object's: an update may not pick another signer to be allowed.
    signer: str = ((request.old or {}).get("spec") or {}).get("signerName", "")
    return signer


def _may(authorizer: Authorizer, user: UserInfo, verb: str, signer: str) -> bool:
    """Whether the user may do it for this signer, or for all signers of its domain."""
    domain = signer.partition("/")[0]
    for name in (signer, f"{domain}/*"):
        attributes = Attributes(
            user=user,
            verb=verb,
            group="certificates.k8s.io",
            version="*",
            resource="signers",
            name=name,
        )
        if authorizer.authorize(attributes).decision is Decision.ALLOW:
            return True
    return False
