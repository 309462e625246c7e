"""What to do with one CertificateSigningRequest.

Upstream: `pkg/controller/certificates/{approver,signer,cleaner}` and `pkg/apis/certificates/
helpers.go`, whose words the refusals are.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from ekslab.kube.api.objects import editable
from ekslab.kube.api.requests import Object

API_CLIENT: Final = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT: Final = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING: Final = "kubernetes.io/kubelet-serving"
SIGNERS: Final = frozenset({API_CLIENT, KUBELET_CLIENT, KUBELET_SERVING})
LIFE_S_MOST: Final = 365 * 86_400
_LIFE_S_LEAST: Final = 600
_ISSUED_S: Final = 3_600
_DECIDED_S: Final = 3_600
_PENDING_S: Final = 86_400
_NODES: Final = "system:nodes"
_NODE: Final = "system:node:"
_COMMON: Final = frozenset({"key encipherment", "digital signature"})
_CLIENT: Final = "client auth"
_SERVER: Final = "server auth"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a PKCS #10 request asks for."""

    common_name: str
    organizations: tuple[str, ...]
    dns: int
    addresses: int
    emails: int
    uris: int


def read(request: str) -> Asked | None:
    """The request in a CSR's spec (base64 of PEM); None if there is none to be read."""
    try:
        csr = x509.load_pem_x509_csr(base64.b64decode(request))
    except (ValueError, binascii.Error):
        return None
    try:
        names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    subject = csr.subject
    common = [str(name.value) for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return Asked(
        common_name=common[0] if common else "",
        organizations=tuple(str(name.value) for name in groups),
        dns=len(names.get_values_for_type(x509.DNSName)),
        addresses=len(names.get_values_for_type(x509.IPAddress)),
        emails=len(names.get_values_for_type(x509.RFC822Name)),
        uris=len(names.get_values_for_type(x509.UniformResourceIdentifier)),
    )


def problem(signer: str, asked: Asked, usages: Sequence[str]) -> str:
    """Why this signer must not issue it; "" if it may."""
    if signer == API_CLIENT:
        return _api_client_problem(usages)
    if signer == KUBELET_CLIENT:
        return _kubelet_client_problem(asked, usages)
    return _kubelet_serving_problem(asked, usages)


def is_decided(csr: Object) -> bool:
    """Whether somebody approved or denied it."""
    return bool(_types(csr) & {"Approved", "Denied"})


def is_to_be_signed(csr: Object) -> bool:
    """Whether it was approved, and is ours to issue, and was not yet."""
    types = _types(csr)
    return (
        csr["spec"].get("signerName") in SIGNERS
        and "Approved" in types
        and not types & {"Denied", "Failed"}
        and not (csr.get("status") or {}).get("certificate")
    )


def approvals(csr: Object) -> Sequence[tuple[str, str]]:
    """On what its requester may have it approved, in order: the subresource that the right to
    create is asked about, and the message of the approval. None if nobody approves it unasked.
    """
    spec = csr["spec"]
    asked = read(spec.get("request", ""))
    if spec.get("signerName") != KUBELET_CLIENT or is_decided(csr) or asked is None:
        return ()
    if problem(KUBELET_CLIENT, asked, spec.get("usages") or ()):
        return ()
    words = "kubelet client certificate after SubjectAccessReview."
    found = [("nodeclient", f"Auto approving {words}")]
    if spec.get("username") == asked.common_name:
        found.insert(0, ("selfnodeclient", f"Auto approving self {words}"))
    return found


def access_review(csr: Object, subresource: str) -> Object:
    """The question whether the requester may have it approved."""
    spec = csr["spec"]
    who: Object = {"user": spec.get("username", "")}
    for field in ("uid", "groups", "extra"):
        if spec.get(field):
            who[field] = spec[field]
    attributes = {
        "group": "certificates.k8s.io",
        "version": "*",
        "resource": "certificatesigningrequests",
        "subresource": subresource,
        "verb": "create",
    }
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {**who, "resourceAttributes": attributes},
    }


def approved(csr: Object, message: str, now: str) -> Object:
    """The object with its approval."""
    return _with_condition(csr, "Approved", "AutoApproved", message, now)


def failed(csr: Object, why: str, now: str) -> Object:
    """The object that no certificate will be issued for."""
    return _with_condition(csr, "Failed", "SignerValidationFailure", why, now)


def issued(csr: Object, certificate_pem: bytes) -> Object:
    """The object with its certificate."""
    made = editable(csr)
    made.setdefault("status", {})["certificate"] = base64.b64encode(certificate_pem).decode()
    return made


def life_s(csr: Object) -> int:
    """How long its certificate lives."""
    wanted: int = csr["spec"].get("expirationSeconds") or LIFE_S_MOST
    return min(LIFE_S_MOST, max(_LIFE_S_LEAST, wanted))


def kept_s(csr: Object) -> int:
    """How long after its creation it is kept: a day while nobody decided, else an hour."""
    if (csr.get("status") or {}).get("certificate"):
        return _ISSUED_S
    return _DECIDED_S if is_decided(csr) else _PENDING_S


def _types(csr: Object) -> set[str]:
    conditions = (csr.get("status") or {}).get("conditions") or ()
    return {condition["type"] for condition in conditions}


def _with_condition(csr: Object, kind: str, reason: str, message: str, now: str) -> Object:
    made = editable(csr)
    condition: dict[str, Any] = {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastUpdateTime": now,
        "lastTransitionTime": now,
    }
    made.setdefault("status", {}).setdefault("conditions", []).append(condition)
    return made


def _api_client_problem(usages: Sequence[str]) -> str:
    known = _COMMON | {_CLIENT}
    if _CLIENT not in usages or not known.issuperset(usages):
        return f"usages did not match {_shown(known)}"
    return ""


def _kubelet_client_problem(asked: Asked, usages: Sequence[str]) -> str:
    forbidden = {
        "DNS subjectAltNames are not allowed": asked.dns,
        "Email subjectAltNames are not allowed": asked.emails,
        "IP subjectAltNames are not allowed": asked.addresses,
        "URI subjectAltNames are not allowed": asked.uris,
    }
    return (
        _not_a_node(asked)
        or next((text for text, count in forbidden.items() if count), "")
        or _unmatched(usages, _CLIENT)
    )


def _kubelet_serving_problem(asked: Asked, usages: Sequence[str]) -> str:
    if not asked.dns and not asked.addresses:
        return "DNS or IP subjectAltName is required"
    forbidden = {
        "Email subjectAltNames are not allowed": asked.emails,
        "URI subjectAltNames are not allowed": asked.uris,
    }
    return (
        _not_a_node(asked)
        or next((text for text, count in forbidden.items() if count), "")
        or _unmatched(usages, _SERVER)
    )


def _not_a_node(asked: Asked) -> str:
    if asked.organizations != (_NODES,):
        return "subject organization is not system:nodes"
    if not asked.common_name.startswith(_NODE):
        return "subject common name does not begin with system:node:"
    return ""


def _unmatched(usages: Sequence[str], purpose: str) -> str:
    """Keys that cannot encipher (elliptic curves) need not say that they do."""
    least = {"digital signature", purpose}
    if set(usages) in (least, least | _COMMON):
        return ""
    return f"usages did not match {_shown(least | _COMMON)}"


def _shown(usages: frozenset[str] | set[str]) -> str:
    return f"[{' '.join(sorted(usages))}]"
