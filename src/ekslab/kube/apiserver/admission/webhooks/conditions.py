"""Match conditions of webhooks: CEL over a request's objects, and what its sender may do.

Upstream: apiserver `pkg/admission/plugin/webhook/matchconditions`; see `kube.api.cel.conditions`.
"""

from ekslab.kube.api import errors
from ekslab.kube.api.cel.conditions import MatchError
from ekslab.kube.api.ports import AdmissionRequest
from ekslab.kube.apiserver.admission.policies.inputs import values_of
from ekslab.kube.apiserver.admission.webhooks import reviews
from ekslab.kube.apiserver.admission.webhooks.configurations import Webhook
from ekslab.kube.apiserver.admission.webhooks.parts import WebhookParts
from ekslab.kube.apiserver.admission.webhooks.views import View


def hold(hook: Webhook, request: AdmissionRequest, view: View, parts: WebhookParts) -> bool:
    """Whether all conditions hold, for the objects as the webhook would be shown them.

    Raises:
        ApiError: 403, if that cannot be told and the failure policy is Fail.
    """
    values = values_of(request, parts.lister, parts.authorizer)
    shown = reviews.request_of(request, view, "", parts.decoder)
    for name in ("uid", "object", "oldObject"):
        del shown[name]
    # In the order of `cel.admission.NAMES`; webhooks are not told of the namespace.
    values[:4] = [view.obj, view.old, None, shown]
    try:
        return hook.matcher.match(values, fails_closed=not hook.fails_open)
    except MatchError as error:
        resource = request.info.resource
        name = reviews.name_of(request)
        raise errors.forbidden(resource.group, resource.plural, name, str(error)) from None
