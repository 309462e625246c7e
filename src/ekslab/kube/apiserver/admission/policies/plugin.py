"""ValidatingAdmissionPolicy: the plugin.

While a cluster has no policy it costs a comparison per write, and nothing of CEL is loaded.
Upstream: apiserver `pkg/admission/plugin/policy/validating/{plugin,dispatcher}.go`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import AdmissionRequest, Authorizer, Lister, Operation
from ekslab.kube.api.resources import Resource, ResourceInfo
from ekslab.kube.apiserver.admission.chain import Plugin, refusal

if TYPE_CHECKING:
    from ekslab.kube.api.requests import Object
    from ekslab.kube.apiserver.admission.policies.policies import Policy, Refusal

_GROUP: Final = "admissionregistration.k8s.io"
POLICIES: Final = Resource(_GROUP, "v1", "validatingadmissionpolicies")
BINDINGS: Final = Resource(_GROUP, "v1", "validatingadmissionpolicybindings")
# Nobody may lock themselves out of changing policies and webhooks.
_EXEMPT: Final = frozenset(
    {
        "validatingadmissionpolicies", "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
        "validatingwebhookconfigurations", "mutatingwebhookconfigurations",
    }
)  # fmt: skip
_REVIEWS: Final = frozenset({"authentication.k8s.io", "authorization.k8s.io"})
_CODES: Final = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}
_DENIED: Final = "ValidatingAdmissionPolicy '{}' with binding '{}' denied request: {}"
_WARNED: Final = "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}"

Part = Mapping[str, Any]


class ValidatingAdmissionPolicies(Plugin):
    """Refuses, or warns of, what bound policies have something against."""

    name = "ValidatingAdmissionPolicy"
    mutates = False

    def __init__(self, lister: Lister, authorizer: Authorizer) -> None:
        self._lister = lister
        self._authorizer = authorizer
        self._seen = -1
        self._revisions = (-1, -1)
        self._bound: list[tuple[Policy, list[Object]]] = []
        self._compiled: dict[str, tuple[int, Policy]] = {}

    def handles(self, info: ResourceInfo, subresource: str, operation: Operation) -> bool:
        """Everything, but for policies themselves and reviews."""
        del subresource, operation
        resource = info.resource
        if resource.group == _GROUP:
            return resource.plural not in _EXEMPT
        return resource.group not in _REVIEWS

    async def validate(self, request: AdmissionRequest) -> None:
        """Ask all policies that are bound for such a request."""
        newest = self._lister.newest
        if newest != self._seen:
            self._refresh()
            self._seen = newest
        if self._bound:
            self._ask(request)

    def _refresh(self) -> None:
        revisions = (self._lister.revision(POLICIES), self._lister.revision(BINDINGS))
        if revisions == self._revisions:
            return
        self._revisions = revisions
        bindings: dict[str, list[Object]] = {}
        for item in self._lister.list(BINDINGS):
            name = (item.object.get("spec") or {}).get("policyName", "")
            bindings.setdefault(name, []).append(item.object)
        self._bound = []
        kept: dict[str, tuple[int, Policy]] = {}
        for item in self._lister.list(POLICIES):
            if item.name not in bindings:
                continue
            known = self._compiled.get(item.uid)
            if known is None or known[0] != item.revision:
                # Loaded when the first policy is bound.
                from ekslab.kube.apiserver.admission.policies import policies

                known = (item.revision, policies.Policy(item.object))
            kept[item.uid] = known
            self._bound.append((known[1], bindings[item.name]))
        self._compiled = kept

    def _ask(self, request: AdmissionRequest) -> None:
        from ekslab.kube.apiserver.admission.policies import matching

        denied: list[tuple[str, Refusal]] = []
        values: list[Any] = []  # of the request: made for the first that asks, shared by all
        for policy, bindings in self._bound:
            try:
                if not matching.matches(
                    policy.constraints, request, self._lister, open_rules=False
                ):
                    continue
            except matching.MatchingError as error:
                denied.extend(_misconfigured(policy, "", str(error)))
                continue
            for binding in bindings:
                self._ask_bound(policy, binding, request, values, denied)
        if denied:
            raise _refused(request, *denied[0])

    def _ask_bound(
        self,
        policy: "Policy",
        binding: "Object",
        request: AdmissionRequest,
        values: list[Any],
        denied: list[tuple[str, "Refusal"]],
    ) -> None:
        from ekslab.kube.apiserver.admission.policies import inputs, matching, params

        name, spec = binding["metadata"]["name"], binding["spec"]
        try:
            among = spec.get("matchResources")
            if among and not matching.matches(among, request, self._lister, open_rules=True):
                return
            found = params.collect(
                policy.param_kind, spec.get("paramRef"), request.request.namespace, self._lister
            )
        except (matching.MatchingError, params.ParamsError) as error:
            denied.extend(_misconfigured(policy, name, str(error)))
            return
        if not values:
            values.extend(inputs.values_of(request, self._lister, self._authorizer))
        for each in found:
            given = inputs.with_params(values, each)
            for no in policy.refusals(given):
                _act(policy, binding, no, request, denied)


def _act(
    policy: "Policy",
    binding: "Object",
    no: "Refusal",
    request: AdmissionRequest,
    denied: list[tuple[str, "Refusal"]],
) -> None:
    """Do with a no what the binding says. Audit annotations have no log to go to yet."""
    name = binding["metadata"]["name"]
    actions = binding["spec"].get("validationActions") or ()
    if "Deny" in actions:
        denied.append((_DENIED.format(policy.name, name, no.message), no))
    if "Warn" in actions:
        request.request.warnings.append(_WARNED.format(policy.name, name, no.message))


def _misconfigured(policy: "Policy", binding: str, why: str) -> list[tuple[str, "Refusal"]]:
    """A policy or binding that cannot be used refuses everything, unless it ignores failures."""
    from ekslab.kube.apiserver.admission.policies.policies import Refusal

    if not policy.fails_closed:
        return []
    message = f"failed to configure {'binding' if binding else 'policy'}: {why}"
    head = f"ValidatingAdmissionPolicy '{policy.name}'"
    head += f" with binding '{binding}'" if binding else ""
    return [(f"{head} denied request: {message}", Refusal(message, ""))]


def _refused(request: AdmissionRequest, message: str, no: "Refusal") -> ApiError:
    """The answer: 422 and Invalid, unless the policy says another reason."""
    error = refusal(request, message)
    error.reason = no.reason or "Invalid"
    error.code = _CODES.get(error.reason, 422)
    error.details = {**(error.details or {}), "causes": [{"message": message}]}
    return error
