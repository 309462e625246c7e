"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook, as the chain knows them.

Which requests they want to see changes with the configurations (`WebhookParts.revision`). As long
as there is no configuration, nothing else of this room is loaded.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import Admission, AdmissionRequest, Operation
from ekslab.kube.api.resources import Resource, ResourceInfo
from ekslab.kube.apiserver.admission.chain import Plugin
from ekslab.kube.apiserver.admission.webhooks.parts import (
    GROUP,
    MUTATING,
    VALIDATING,
    WebhookParts,
)

if TYPE_CHECKING:
    from ekslab.kube.apiserver.admission.webhooks.configurations import Webhook

_EXEMPT: Final = frozenset(
    {
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    }
)
_LAST: Final = "ResourceQuota"  # counts what has passed everything else


class _Webhooks(Plugin):
    """The half that both have: reading configurations again when they have changed."""

    configurations: ClassVar[Resource]

    def __init__(self, parts: WebhookParts) -> None:
        self._parts = parts
        self._hooks: Sequence[Webhook] = ()
        self._read = -1

    def handles(self, info: ResourceInfo, subresource: str, operation: Operation) -> bool:
        """Whether a rule names such requests; never of what configures admission itself."""
        resource = info.resource
        if resource.group == GROUP and resource.plural in _EXEMPT:
            return False
        hooks = self._current()
        if not hooks:
            return False
        from ekslab.kube.apiserver.admission.webhooks import matching

        resources = (resource, *matching.equivalents(self._parts.registry, resource))
        return any(
            matching.may_match(hook, each, subresource, operation)
            for hook in hooks
            for each in resources[: None if hook.equivalent else 1]
        )

    def _current(self) -> "Sequence[Webhook]":
        """The webhooks, in the order they are called."""
        revision = self._parts.lister.revision(self.configurations)
        if revision != self._read:
            items = self._parts.lister.list(self.configurations)
            self._hooks = _webhooks(items) if items else ()
            self._read = revision
        return self._hooks


class MutatingWebhooks(_Webhooks):
    """Calls mutating webhooks, one after the other."""

    name = "MutatingAdmissionWebhook"
    configurations = MUTATING

    async def admit(self, request: AdmissionRequest) -> None:
        """Change the object as they say.

        Raises:
            ApiError: what a webhook refuses with; 500 if one cannot be called.
        """
        from ekslab.kube.apiserver.admission.webhooks import dispatching

        await dispatching.mutate(request, self._current(), self._parts)


class ValidatingWebhooks(_Webhooks):
    """Calls validating webhooks, all at once."""

    name = "ValidatingAdmissionWebhook"
    configurations = VALIDATING

    async def validate(self, request: AdmissionRequest) -> None:
        """Ask them.

        Raises:
            ApiError: what a webhook refuses with; 500 if one cannot be called.
        """
        from ekslab.kube.apiserver.admission.webhooks import dispatching

        await dispatching.validate(request, self._current(), self._parts)


def with_webhooks(plugins: Sequence[Admission], parts: WebhookParts) -> list[Admission]:
    """The plugins with the webhooks where upstream has them: after all but the quota."""
    hooks: list[Admission] = [MutatingWebhooks(parts), ValidatingWebhooks(parts)]
    if plugins and plugins[-1].name == _LAST:
        return [*plugins[:-1], *hooks, plugins[-1]]
    return [*plugins, *hooks]


def _webhooks(items: Sequence[Item]) -> "Sequence[Webhook]":
    from ekslab.kube.apiserver.admission.webhooks.configurations import webhooks_of

    return webhooks_of(items)
