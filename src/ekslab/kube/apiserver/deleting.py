"""DELETE and DELETECOLLECTION: preconditions, grace, finalizers, and the removal itself.

Upstream: `apiserver/pkg/registry/generic/registry/store.go` (Delete, finalizers for garbage
collection), `pkg/registry/rest/delete.go` (BeforeDelete) and the namespaces' own storage. What a
delete does to an object is decided by the pure function `decide`:

    finalizers left, or grace > 0     the object stays, with a deletionTimestamp
    neither                           the object goes
    already on its way                nothing, unless the grace gets shorter
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from ekslab.kit.clock import Clock, parse_rfc3339, rfc3339
from ekslab.kube.api import errors
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.ports import AdmissionRequest, Answer, ListPage, Operation
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.well_known import DEFINITIONS
from ekslab.kube.apiserver.admission.chain import AdmissionChain
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.options import DeleteOptions, delete_options, list_options
from ekslab.kube.apiserver.reading import selection
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.store.port import RevisionConflictError, Store

_ATTEMPTS: Final = 16
_AT_ONCE: Final = 16
FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
DEFINITION_FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_GARBAGE_FINALIZERS: Final = frozenset({FOREGROUND, ORPHAN})
# Kinds whose dependents outlive them unless told otherwise (DefaultGarbageCollectionPolicy).
_ORPHAN_BY_DEFAULT: Final = frozenset({"replicationcontrollers", "jobs.batch"})
_JOB_WARNING: Final = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background"
    " to remove them or set propagationPolicy=Orphan to suppress this warning"
)
# Storage types whose delete answers with the object (ReturnDeletedObject), others with a Status.
_RETURNS_OBJECT: Final = frozenset(
    {
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "resourcequotas",
        "serviceaccounts",
        "services",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "storageclasses.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
    }
)


class Step(Enum):
    """What becomes of an object that is asked to go."""

    NOTHING = "nothing"  # it is on its way already
    MARK = "mark"  # it stays until grace and finalizers are done
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Decided:
    """The step, and the object as it is to be written (MARK) or seen last (REMOVE)."""

    step: Step
    obj: Object


def decide(served: Served, old: Object, options: DeleteOptions, now: float) -> Decided:
    """Decide what a delete does to `old`, which is only read."""
    meta = old["metadata"]
    graceful = served.strategy.graceful
    deleting = "deletionTimestamp" in meta
    shorter = _shortened(meta, options) if deleting and graceful else None
    if shorter is not None and not shorter.changes:
        return Decided(Step.NOTHING, old)
    before = meta.get("finalizers") or []
    finalizers = _finalizers(served, before, options)
    if deleting and not graceful and finalizers and finalizers == before:
        return Decided(Step.NOTHING, old)
    obj = editable(old)
    _put(obj["metadata"], "finalizers", finalizers)
    if shorter is not None:
        grace_s = shorter.grace_s
        obj["metadata"]["deletionTimestamp"] = rfc3339(shorter.deletion_s)
        obj["metadata"]["deletionGracePeriodSeconds"] = grace_s
    else:
        grace_s = served.strategy.deletion_grace_s(old, options.grace_period_s) if graceful else 0
        if not deleting and (finalizers or graceful):
            _mark(obj["metadata"], grace_s, now)
    stays = bool(finalizers) or grace_s > 0
    return Decided(Step.MARK if stays else Step.REMOVE, obj)


def _mark(meta: dict[str, Any], grace_s: int, now: float) -> None:
    meta["deletionTimestamp"] = rfc3339(now + grace_s)
    meta["deletionGracePeriodSeconds"] = grace_s
    if meta.get("generation"):
        meta["generation"] += 1


def _put(meta: dict[str, Any], key: str, values: list[str]) -> None:
    if values:
        meta[key] = values
    else:
        meta.pop(key, None)


@dataclass(frozen=True, slots=True)
class _Shortened:
    """A second delete of an object on its way: the grace it gets now, if it changes anything."""

    changes: bool
    grace_s: int = 0
    deletion_s: float = 0.0


def _shortened(meta: dict[str, Any], options: DeleteOptions) -> _Shortened:
    before = meta.get("deletionGracePeriodSeconds")
    deletion_s = parse_rfc3339(meta["deletionTimestamp"])
    if before is None or (before == 0 and not meta.get("finalizers")):
        return _Shortened(changes=True, grace_s=0, deletion_s=deletion_s)
    asked = options.grace_period_s
    if asked is None or asked >= before:
        return _Shortened(changes=False)
    grace_s = max(0, asked)
    return _Shortened(changes=True, grace_s=grace_s, deletion_s=deletion_s - before + grace_s)


def _finalizers(served: Served, old: Sequence[str], options: DeleteOptions) -> list[str]:
    """The object's finalizers with those the propagation asks for."""
    wanted = ""
    if options.propagation == "Orphan":
        wanted = ORPHAN
    elif options.propagation == "Foreground":
        wanted = FOREGROUND
    elif not options.propagation:
        kept = [name for name in old if name in _GARBAGE_FINALIZERS]
        if kept:
            wanted = ORPHAN if ORPHAN in kept else FOREGROUND
        elif served.storage in _ORPHAN_BY_DEFAULT:
            wanted = ORPHAN
    finalizers = [name for name in old if name not in _GARBAGE_FINALIZERS]
    return [*finalizers, wanted] if wanted else finalizers


def decide_namespace(old: Object, options: DeleteOptions, served: Served, now: float) -> Decided:
    """Namespaces stay, Terminating, until their `spec.finalizers` are gone as well."""
    meta = old["metadata"]
    if not (old.get("spec") or {}).get("finalizers"):
        return decide(served, old, options, now)
    if "deletionTimestamp" in meta:
        return Decided(Step.NOTHING, old)
    obj = editable(old)
    obj["metadata"]["deletionTimestamp"] = rfc3339(now)
    _put(obj["metadata"], "finalizers", _finalizers(served, meta.get("finalizers") or [], options))
    obj.setdefault("status", {})["phase"] = "Terminating"
    return Decided(Step.MARK, obj)


def decide_definition(old: Object, options: DeleteOptions, served: Served, now: float) -> Decided:
    """Definitions of custom resources stay, Terminating, until their objects are gone (upstream:
    Delete of `pkg/registry/customresourcedefinition/etcd.go` in apiextensions-apiserver).
    """
    if "deletionTimestamp" in old["metadata"]:
        return decide(served, old, options, now)
    obj = editable(old)
    meta = obj["metadata"]
    meta["deletionTimestamp"] = rfc3339(now)
    meta["finalizers"] = [
        *(name for name in meta.get("finalizers") or () if name != DEFINITION_FINALIZER),
        DEFINITION_FINALIZER,
    ]
    status = obj.setdefault("status", {})
    status["conditions"] = [
        *(each for each in status.get("conditions") or () if each.get("type") != "Terminating"),
        {
            "type": "Terminating",
            "status": "True",
            "lastTransitionTime": rfc3339(now),
            "reason": "InstanceDeletionPending",
            "message": (
                "CustomResourceDefinition marked for deletion; CustomResource deletion will begin"
                " soon"
            ),
        },
    ]
    return Decided(Step.MARK, obj)


class Deleter:
    """Answers delete and deletecollection."""

    def __init__(
        self, *, store: Store, decoder: Decoder, admission: AdmissionChain, clock: Clock
    ) -> None:
        self._store = store
        self._decoder = decoder
        self._admission = admission
        self._clock = clock

    async def delete(self, served: Served, request: ApiRequest) -> Answer:
        """Delete one object: a Status when it is gone, the object while it stays.

        Raises:
            ApiError: 404, 409 for preconditions, 422 for bad options, what admission says.
        """
        options = delete_options(request, self._decoder.delete_options(request))
        if served.storage == "jobs.batch" and not options.propagation:
            request.warnings.append(_JOB_WARNING)
        decided, item = await self._delete(served, request, request.name, options)
        if decided.step is not Step.REMOVE or served.storage in _RETURNS_OBJECT:
            if item is not None:
                return Answer(item=served.item_of(item))
            return Answer(obj=decided.obj)
        return Answer(obj=_gone(served, decided.obj))

    async def delete_collection(self, served: Served, request: ApiRequest) -> Answer:
        """Delete all objects that match; the answer lists them as they were."""
        options = delete_options(request, self._decoder.delete_options(request))
        chosen = selection(served, list_options(request))
        page = await self._store.list(served.storage, request.namespace)
        items = [item for item in page.items if chosen.matches(item)]
        for start in range(0, len(items), _AT_ONCE):
            # At once, so that they share their commits.
            done = await asyncio.gather(
                *(
                    self._delete_of_many(served, request, item, options)
                    for item in items[start : start + _AT_ONCE]
                ),
                return_exceptions=True,
            )
            for error in done:
                if error is not None:
                    raise error
        listed = [served.item_of(item) for item in items]
        return Answer(page=ListPage(items=listed, revision=self._store.revision))

    async def _delete_of_many(
        self, served: Served, request: ApiRequest, item: Item, options: DeleteOptions
    ) -> None:
        """One of a collection; if somebody else was faster, all the better."""
        single = ApiRequest(
            verb="delete",
            user=request.user,
            resource=request.resource,
            namespace=item.namespace,
            name=item.name,
            options=request.options,
        )
        try:
            await self._delete(served, single, item.name, options)
        except errors.ApiError as error:
            if error.code != 404:
                raise

    async def _delete(
        self, served: Served, request: ApiRequest, name: str, options: DeleteOptions
    ) -> tuple[Decided, Item | None]:
        resource = served.resource
        key = served.key(request.namespace, name)
        for _ in range(_ATTEMPTS):
            current = await self._store.get_latest(key)
            if current is None:
                raise errors.not_found(resource.group, resource.plural, name)
            old = served.object_of(current)
            _check_preconditions(served, current, options)
            await self._admit(served, request, old, dry_run=options.dry_run)
            decided = self._decide(served, old, options)
            if decided.step is Step.NOTHING:
                return decided, current
            if options.dry_run:
                return decided, None
            try:
                return decided, await self._carry_out(served, key_item=current, decided=decided)
            except RevisionConflictError:
                continue
        raise errors.conflict(resource.group, resource.plural, name)

    async def _admit(
        self, served: Served, request: ApiRequest, old: Object, *, dry_run: bool
    ) -> None:
        if not self._admission.handles(served.info, "", Operation.DELETE):
            return
        asked = AdmissionRequest(
            request=request,
            info=served.info,
            operation=Operation.DELETE,
            obj=None,
            old=old,
            dry_run=dry_run,
        )
        await self._admission.admit(asked)
        await self._admission.validate(asked)

    def _decide(self, served: Served, old: Object, options: DeleteOptions) -> Decided:
        now = self._clock.now()
        if served.storage == "namespaces":
            return decide_namespace(old, options, served, now)
        if served.storage == DEFINITIONS.qualified:
            return decide_definition(old, options, served, now)
        return decide(served, old, options, now)

    async def _carry_out(self, served: Served, *, key_item: Item, decided: Decided) -> Item:
        managed = key_item.segments[1]
        owners = key_item.object["metadata"].get("managedFields") or []
        key = served.key(key_item.namespace, key_item.name)

        def encode(revision: int) -> Item:
            return served.encode(decided.obj, revision=revision, managed=managed, owners=owners)

        if decided.step is Step.MARK:
            return await self._store.put(key, encode, expect=key_item.revision)
        return await self._store.delete(key, encode, expect=key_item.revision)


def _check_preconditions(served: Served, current: Item, options: DeleteOptions) -> None:
    if options.uid and options.uid != current.uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record"
            f" ({current.uid}). The object might have been deleted and then recreated"
        )
    elif options.resource_version and options.resource_version != current.resource_version:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match"
            f" the ResourceVersion in record ({current.resource_version})."
            " The object might have been modified"
        )
    else:
        return
    resource = served.resource
    raise errors.conflict(resource.group, resource.plural, current.name, why)


def _gone(served: Served, obj: Object) -> Object:
    """The Status that says an object was removed."""
    resource = served.resource
    details = {"name": obj["metadata"]["name"], "kind": resource.plural}
    if resource.group:
        details["group"] = resource.group
    details["uid"] = obj["metadata"].get("uid", "")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }
