"""The order in which webhooks are called, and what becomes of their answers.

    mutate     one after the other; each sees what those before it changed. If one changed the
               object, the chain runs once more, and those that asked to be called again are
    validate   all at once

Upstream: apiserver `pkg/admission/plugin/webhook/{mutating,validating}/dispatcher.go` and
`mutating/reinvocationcontext.go`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ekslab.kit import logs
from ekslab.kube.api import errors
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.patches import json_patch
from ekslab.kube.api.ports import AdmissionRequest
from ekslab.kube.apiserver.admission.webhooks import reviews
from ekslab.kube.apiserver.admission.webhooks.calling import Caller, CallError
from ekslab.kube.apiserver.admission.webhooks.configurations import Webhook
from ekslab.kube.apiserver.admission.webhooks.matching import wanted_as
from ekslab.kube.apiserver.admission.webhooks.parts import WebhookParts
from ekslab.kube.apiserver.admission.webhooks.views import View, Views

_log = logs.get("webhooks")
_WARNINGS_LONGEST: Final = 4096  # characters of all; beyond that each is cut short
_WARNING_LONGEST: Final = 256


class _CallFailedError(Exception):
    """A webhook that could not be asked, as opposed to one that refused."""


@dataclass(slots=True)
class Memory:
    """What mutating webhooks remember between the two runs of the chain.

    Attributes:
        called: those that asked to be called again, and have not seen the last change.
        again: those to be called in the second run.
        seen: the object as the first run left it.
    """

    called: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    seen: bytes = b""

    def note_change(self) -> None:
        """The object changed: whoever saw it before has to see it again."""
        self.again |= self.called
        self.called.clear()


async def mutate(request: AdmissionRequest, hooks: Sequence[Webhook], parts: WebhookParts) -> None:
    """Call mutating webhooks; ask for a second run of the chain if the object changed.

    Raises:
        ApiError: a refusal, or 500 if one cannot be called that must be.
    """
    memory = request.reinvocation
    is_again = isinstance(memory, Memory)
    if not isinstance(memory, Memory):
        memory = Memory()
    elif memory.seen != _dumped(request):
        memory.note_change()
    views = Views(request, parts.registry, parts.decoder)
    changed = False
    for hook in hooks:
        view = _wanted(hook, request, views, parts)
        if view is None or (is_again and hook.uid not in memory.again):
            continue
        try:
            verdict = await _ask(hook, request, view, parts, mutating=True)
        except _CallFailedError as error:
            _fail(hook, error)
            continue
        if verdict.patch and _patch(hook, views, view, verdict.patch):
            changed = True
            memory.note_change()
        if hook.reinvocable:
            memory.called.add(hook.uid)
    if changed and not is_again:
        memory.seen = _dumped(request)
        request.reinvocation = memory


def _dumped(request: AdmissionRequest) -> bytes:
    return orjson.dumps(request.obj)


async def validate(
    request: AdmissionRequest, hooks: Sequence[Webhook], parts: WebhookParts
) -> None:
    """Call validating webhooks at once; of several refusals the first webhook's is given.

    Raises:
        ApiError: a refusal, or 500 if one cannot be called that must be.
    """
    views = Views(request, parts.registry, parts.decoder)
    wanted = [(hook, _wanted(hook, request, views, parts)) for hook in hooks]
    chosen = [(hook, view) for hook, view in wanted if view is not None]
    done = await asyncio.gather(
        *(_validate(hook, request, view, parts) for hook, view in chosen),
        return_exceptions=True,
    )
    for error in done:
        if error is not None:
            raise error


async def _validate(
    hook: Webhook, request: AdmissionRequest, view: View, parts: WebhookParts
) -> None:
    try:
        await _ask(hook, request, view, parts, mutating=False)
    except _CallFailedError as error:
        _fail(hook, error)


def _wanted(
    hook: Webhook, request: AdmissionRequest, views: Views, parts: WebhookParts
) -> View | None:
    """What a webhook is shown of a request; None if it does not want to see it.

    Raises:
        ApiError: 403 if its match conditions cannot be evaluated.
    """
    resource = wanted_as(hook, request, parts.registry, parts.lister)
    if resource is None:
        return None
    view = views.of(resource)
    if hook.conditions:
        from ekslab.kube.apiserver.admission.webhooks import conditions

        if not conditions.hold(hook, request, view, parts):
            return None
    return view


async def _ask(
    hook: Webhook, request: AdmissionRequest, view: View, parts: WebhookParts, *, mutating: bool
) -> reviews.Verdict:
    """Ask one webhook.

    Raises:
        ApiError: it refuses, or must not be asked for a dry run.
        _CallFailedError: it could not be asked.
    """
    if request.dry_run and not hook.dry_run:
        raise errors.bad_request(f'admission webhook "{hook.name}" does not support dry run')
    version = reviews.version_of(hook.versions)
    if not version:
        why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
        raise _CallFailedError(f"could not create admission objects: {why}")
    if parts.caller is None:
        parts.caller = Caller(parts.lister)
    uid = parts.ids.uid()
    body = reviews.review_of(reviews.request_of(request, view, uid, parts.decoder), version)
    try:
        answer = await parts.caller.post(hook.client, body, timeout_s=hook.timeout_s)
        verdict = reviews.verdict_of(answer, uid=uid, version=version, mutating=mutating)
    except CallError as error:
        raise _CallFailedError(str(error)) from None
    except reviews.BadAnswerError as error:
        raise _CallFailedError(f"received invalid webhook response: {error}") from None
    request.request.warnings.extend(_bounded(verdict.warnings))
    if not verdict.allowed:
        raise reviews.refusal(hook.name, verdict.result)
    return verdict


def _fail(hook: Webhook, error: _CallFailedError) -> None:
    """What the failure policy says of a webhook that could not be asked.

    Raises:
        ApiError: 500, if the request fails with it.
    """
    said = f'failed calling webhook "{hook.name}": {error}'
    _log.warning("webhook failed", said=said, failing="open" if hook.fails_open else "closed")
    if not hook.fails_open:
        raise errors.internal(said)


def _patch(hook: Webhook, views: Views, view: View, patch: Any) -> bool:
    """Carry out what a webhook wants changed; whether that changed anything.

    Raises:
        ApiError: 500, if the patch does not fit.
    """
    if view.obj is None:
        raise errors.internal(
            f'admission webhook "{hook.name}" attempted to modify the object, which is not'
            " supported for this operation"
        )
    try:
        patched = json_patch.apply(view.obj, patch)
    except ApiError as error:
        raise errors.internal(error.message) from None
    return views.take(view, patched)


def _bounded(warnings: Sequence[str]) -> list[str]:
    """Warnings as they are, or cut short where they are too much for a client."""
    if sum(map(len, warnings)) <= _WARNINGS_LONGEST:
        return list(warnings)
    most = _WARNINGS_LONGEST // _WARNING_LONGEST
    return [each[:_WARNING_LONGEST] for each in warnings[:most]]
