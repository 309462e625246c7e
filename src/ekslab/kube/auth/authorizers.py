"""Authorizers that need no rules, the chain that asks them all, and the words of a denial.

Upstream: apiserver `pkg/authorization/union` (the first that speaks wins), `authorizerfactory`
(system:masters), `pkg/endpoints/handlers/responsewriters/errors.go` (the sentence of a 403).
"""

from collections.abc import Sequence

from ekslab.kube.api import errors
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Authorizer, Decision, Verdict
from ekslab.kube.api.requests import Attributes
from ekslab.kube.api.well_known import MASTERS_GROUP

_ALLOW = Verdict(Decision.ALLOW)
_NO_OPINION = Verdict(Decision.NO_OPINION)
# Upstream avoids messages that a browser would take for HTML; quotes are left as they are.
_HTML_LOOKALIKES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class MastersAuthorizer:
    """Members of `system:masters` may do anything."""

    def authorize(self, attributes: Attributes) -> Verdict:
        """Allow masters, say nothing about others."""
        return _ALLOW if MASTERS_GROUP in attributes.user.groups else _NO_OPINION


class AuthorizerChain:
    """Asks its authorizers in order; the first that has an opinion decides.

    If none has, the verdict is NO_OPINION with what they gave as reasons: the caller denies.
    """

    def __init__(self, authorizers: Sequence[Authorizer]) -> None:
        self._authorizers = tuple(authorizers)

    def authorize(self, attributes: Attributes) -> Verdict:
        """Decide."""
        reasons: list[str] = []
        for authorizer in self._authorizers:
            verdict = authorizer.authorize(attributes)
            if verdict.decision is not Decision.NO_OPINION:
                return verdict
            if verdict.reason:
                reasons.append(verdict.reason)
        return Verdict(Decision.NO_OPINION, "\n".join(reasons)) if reasons else _NO_OPINION


def denial(attributes: Attributes, verdict: Verdict) -> ApiError:
    """The 403 for a request that was not allowed, in the words kubectl users know."""
    message = denial_message(attributes)
    if verdict.reason:
        message = f"{message}: {verdict.reason}"
    return errors.forbidden(attributes.group, attributes.resource, attributes.name, message)


def denial_message(attributes: Attributes) -> str:
    """`User "jane" cannot list resource "pods" in API group "" in the namespace "default"`."""
    deed = f'User "{attributes.user.name}" cannot {attributes.verb}'
    if not attributes.is_resource_request:
        return f'{deed} path "{attributes.path}"'.translate(_HTML_LOOKALIKES)
    resource = attributes.resource
    if attributes.subresource:
        resource = f"{resource}/{attributes.subresource}"
    place = (
        f'in the namespace "{attributes.namespace}"'
        if attributes.namespace
        else "at the cluster scope"
    )
    what = f'resource "{resource}" in API group "{attributes.group}"'
    return f"{deed} {what} {place}".translate(_HTML_LOOKALIKES)
