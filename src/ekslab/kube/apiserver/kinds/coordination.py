"""Leases, certificate requests, runtime classes, flow control: small kinds with rules of their own.

Upstream: `pkg/apis/{coordination,certificates,node,flowcontrol}`.
"""

import base64
import binascii
from typing import Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.kinds.field_errors import (
    duplicate,
    each_invalid,
    invalid,
    not_negative,
    not_supported,
    required,
    unchanged,
)
from ekslab.kube.apiserver.kinds.strategy import Strategy, Traits

_EXPIRATION_LEAST_S: Final = 600
_PEM_HEAD: Final = b"-----BEGIN CERTIFICATE REQUEST-----"
_USAGES: Final = frozenset(
    {
        "signing", "digital signature", "content commitment", "key encipherment",
        "key agreement", "data encipherment", "cert sign", "crl sign", "encipher only",
        "decipher only", "any", "server auth", "client auth", "code signing",
        "email protection", "s/mime", "ipsec end system", "ipsec tunnel", "ipsec user",
        "timestamping", "ocsp signing", "microsoft sgc", "netscape sgc",
    }
)  # fmt: skip


class LeaseStrategy(Strategy):
    """Who leads, or lives."""

    traits = Traits(create_on_update=True, unconditional_update=False, born=None)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateLeaseSpec`."""
        spec = obj.get("spec") or {}
        seconds = spec.get("leaseDurationSeconds")
        if seconds is not None and seconds <= 0:
            causes.append(invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
        causes.extend(not_negative("spec.leaseTransitions", spec.get("leaseTransitions")))
        strategy = spec.get("strategy")
        if strategy is not None and not strategy:
            causes.append(invalid("spec.strategy", strategy, "must not be empty"))


class SigningRequestStrategy(Strategy):
    """CertificateSigningRequest. Who asks is for the pipeline to write into the spec."""

    traits = Traits(selectable=frozenset({"spec.signerName"}))

    def prepare_update(self, obj: Object, old: Object) -> None:
        """The spec never changes."""
        super().prepare_update(obj, old)
        obj["spec"] = old["spec"]

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateCertificateSigningRequestCreate`."""
        spec = obj["spec"]
        try:
            readable = base64.b64decode(spec.get("request", "")).strip().startswith(_PEM_HEAD)
        except binascii.Error:
            readable = False
        if not readable:
            why = "PEM block type must be CERTIFICATE REQUEST"
            causes.append(invalid("spec.request", spec.get("request", ""), why))
        usages = spec.get("usages") or ()
        if not usages:
            causes.append(required("spec.usages"))
        seen: set[str] = set()
        for index, usage in enumerate(usages):
            if usage not in _USAGES:
                causes.append(not_supported(f"spec.usages[{index}]", usage, sorted(_USAGES)))
            elif usage in seen:
                causes.append(duplicate(f"spec.usages[{index}]", usage))
            seen.add(usage)
        _validate_signer(spec.get("signerName", ""), causes)
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < _EXPIRATION_LEAST_S:
            why = f"may not specify a duration less than {_EXPIRATION_LEAST_S} seconds (10 minutes)"
            causes.append(invalid("spec.expirationSeconds", seconds, why))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """Only metadata changes here; approval and certificate have subresources."""

    def fields(self, obj: Object) -> dict[str, str]:
        """Its signer."""
        return {**super().fields(obj), "spec.signerName": obj["spec"].get("signerName", "")}


def _validate_signer(name: str, causes: list[Cause]) -> None:
    if not name:
        causes.append(required("spec.signerName"))
        return
    domain, slash, path = name.partition("/")
    if not slash or not path or "/" in path:
        why = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        causes.append(invalid("spec.signerName", name, why))
        return
    causes.extend(each_invalid("spec.signerName", domain, names.is_dns1123_subdomain(domain)))
    if "." not in domain:
        why = "should be a domain with at least two segments separated by dots"
        causes.append(invalid("spec.signerName", domain, why))
    causes.extend(each_invalid("spec.signerName", path, names.is_dns1123_subdomain(path)))


class RuntimeClassStrategy(Strategy):
    """A way to run containers."""

    traits = Traits(unconditional_update=False, born=None)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateRuntimeClass`."""
        handler = obj.get("handler", "")
        causes.extend(each_invalid("handler", handler, names.is_dns1123_label(handler)))

    def check_update(self, obj: Object, old: Object, causes: list[Cause]) -> None:
        """The handler stays."""
        causes.extend(unchanged("handler", obj.get("handler"), old.get("handler")))


class FlowSchemaStrategy(Strategy):
    """Which requests go to which priority level."""

    traits = Traits(generation=True, unconditional_update=False)

    def default(self, obj: Object) -> None:
        """In the middle of the order."""
        obj.setdefault("spec", {}).setdefault("matchingPrecedence", 1000)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidateFlowSchemaSpec`, without its rules about subjects."""
        spec = obj["spec"]
        precedence = spec["matchingPrecedence"]
        if precedence <= 0:
            why = "must be a positive value"
            causes.append(invalid("spec.matchingPrecedence", precedence, why))
        elif precedence > 10_000:
            why = "must not be greater than 10000"
            causes.append(invalid("spec.matchingPrecedence", precedence, why))
        if not (spec.get("priorityLevelConfiguration") or {}).get("name"):
            why = "must reference a priority level"
            causes.append(required("spec.priorityLevelConfiguration.name", why))


class PriorityLevelStrategy(Strategy):
    """How requests of one level share the server."""

    traits = Traits(generation=True, unconditional_update=False)

    def default(self, obj: Object) -> None:
        """Thirty shares, none lent; queues of fifty."""
        spec = obj.setdefault("spec", {})
        limited, exempt = spec.get("limited"), spec.get("exempt")
        if spec.get("type") == "Exempt":
            exempt = spec.setdefault("exempt", {})
        if limited is not None:
            limited.setdefault("nominalConcurrencyShares", 30)
            limited.setdefault("lendablePercent", 0)
            queuing = (limited.get("limitResponse") or {}).get("queuing")
            if queuing is not None:
                queuing.setdefault("queues", 64)
                queuing.setdefault("handSize", 8)
                queuing.setdefault("queueLengthLimit", 50)
        if exempt is not None:
            exempt.setdefault("nominalConcurrencyShares", 0)
            exempt.setdefault("lendablePercent", 0)

    def check(self, obj: Object, causes: list[Cause]) -> None:
        """Upstream's `ValidatePriorityLevelConfigurationSpec`, its types."""
        spec = obj["spec"]
        kind = spec.get("type", "")
        if kind not in {"Exempt", "Limited"}:
            causes.append(not_supported("spec.type", kind, ("Exempt", "Limited")))
        elif kind == "Limited" and "limited" not in spec:
            why = "must not be empty when type is Limited"
            causes.append(required("spec.limited", why))
        for field in ("limited", "exempt"):
            if spec.get(field) is not None:
                _check_seats(spec[field], f"spec.{field}", causes)


def _check_seats(said: Object, path: str, causes: list[Cause]) -> None:
    """Upstream's `ValidateLimitedPriorityLevelConfiguration` and what it calls."""
    shares, lent = said["nominalConcurrencyShares"], said["lendablePercent"]
    if shares < 0:
        why = "must be a non-negative integer"
        causes.append(invalid(f"{path}.nominalConcurrencyShares", shares, why))
    if not 0 <= lent <= 100:
        why = "must be between 0 and 100, inclusive"
        causes.append(invalid(f"{path}.lendablePercent", lent, why))
    borrows = said.get("borrowingLimitPercent")
    if borrows is not None and borrows < 0:
        why = "if specified, must be a non-negative integer"
        causes.append(invalid(f"{path}.borrowingLimitPercent", borrows, why))
    queuing = (said.get("limitResponse") or {}).get("queuing")
    if queuing is None:
        return
    where = f"{path}.limitResponse.queuing"
    causes.extend(
        invalid(f"{where}.{field}", queuing[field], "must be positive")
        for field in ("queues", "queueLengthLimit", "handSize")
        if queuing[field] <= 0
    )
    if queuing["handSize"] > queuing["queues"]:
        why = f"should not be greater than queues ({queuing['queues']})"
        causes.append(invalid(f"{where}.handSize", queuing["handSize"], why))
