"""CREATE, UPDATE and PATCH: the way of an object into the store, as ordered steps.

    create   decode and check -> default -> identify -> own -> mutating admission -> prepare
             -> validate -> validating admission -> allocate -> transact
    change   read -> make (body, patch or apply) -> check against what is there -> default
             -> prepare -> own -> mutating admission -> prepare -> validate
             -> validating admission -> allocate -> transact; again, if somebody was faster

Upstream: `apiserver/pkg/endpoints/handlers/{create,update,patch}.go`, `pkg/registry/rest/
{create,update,meta}.go`, `pkg/registry/generic/registry/store.go`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from ekslab.kit.clock import Clock, rfc3339
from ekslab.kit.ids import Ids
from ekslab.kube.api import errors
from ekslab.kube.api.errors import Cause, bad_request
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import AdmissionRequest, Answer, Operation
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.apiserver.admission.chain import AdmissionChain
from ekslab.kube.apiserver.decoding import Decoder, raw_body
from ekslab.kube.apiserver.options import WriteOptions, write_options
from ekslab.kube.apiserver.owning import Owning
from ekslab.kube.apiserver.preconditions import (
    SERVER_FIELDS,
    check_name,
    check_namespace,
    check_size,
    check_version,
    is_done,
    is_same,
    keep_server_fields,
)
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.apiserver.templates import Prepared, Templates, shape_of
from ekslab.kube.store.port import RevisionConflictError, Store

_CHANGE_ATTEMPTS: Final = 32
_NAME_ATTEMPTS: Final = 8
_GENERATED_PREFIX_LONGEST: Final = 58  # 63 less the suffix of five


class Allocator(Protocol):
    """Gives an object what no two objects may share (addresses, ports), just before it is kept."""

    def allocate(self, obj: Object, old: Object | None) -> Callable[[], None]:
        """Fill in and reserve; the result lets go of the reservation once the write is done.

        Raises:
            ApiError: 422, if what was asked for is taken or out of range.
        """


@dataclass(frozen=True, slots=True)
class Rules:
    """What a change through one door (the object itself or a subresource) may do.

    `keeps` names the parts that `prepare` takes from the old object whatever the new one says: they
    were checked when they were written, and are not checked again where a patch leaves them as they
    are. `is_defaulted` is False where all that has defaults is among them.
    """

    subresource: str
    prepare: Callable[[Object, Object], None]
    validate: Callable[[Object, Object], list[Cause]]
    keeps: frozenset[str] = frozenset()
    is_defaulted: bool = True


def main_rules(served: Served) -> Rules:
    """Changes of the object itself."""
    strategy = served.strategy
    return Rules(
        "",
        strategy.prepare_update,
        strategy.validate_update,
        keeps=strategy.kept_on_update,
    )


def status_rules(served: Served) -> Rules:
    """Changes through `/status`."""
    strategy = served.strategy
    return Rules(
        "status",
        strategy.prepare_status_update,
        strategy.validate_status_update,
        keeps=strategy.kept_on_status_update,
        is_defaulted=strategy.traits.defaults_status,
    )


@dataclass(frozen=True, slots=True)
class Made:
    """An object on its way in, private to the request. `owners`, its managedFields, are set if an
    apply made it.
    """

    obj: Object
    owners: list[Any] | None = None


Make = Callable[[Object | None, Item | None], Made]
"""Makes the new object from what is there: `(old, item)`, both None where nothing is."""


class Writer:
    """Carries writes from request to store."""

    def __init__(
        self,
        *,
        store: Store,
        decoder: Decoder,
        owning: Owning,
        admission: AdmissionChain,
        clock: Clock,
        ids: Ids,
        allocators: Mapping[str, Allocator],
        may_create: Callable[[ApiRequest], None],
    ) -> None:
        self._store = store
        self._decoder = decoder
        self._owning = owning
        self._admission = admission
        self._clock = clock
        self._ids = ids
        self._allocators = allocators
        self._may_create = may_create
        self._templates = Templates()

    async def create(self, served: Served, request: ApiRequest) -> Answer:
        """POST: create an object.

        Raises:
            ApiError: every refusal of the steps above; 409 if the name is taken.
        """
        options = write_options(request)
        raw = raw_body(request)
        if not self._templates.is_template(raw):
            obj = self._decoder.body(served, request, options.field_validation)
            return await self._create(served, request, options, Made(obj))
        key = (raw, served, options.field_validation, options.field_manager)
        prepared = self._templates.find(key)
        if prepared is None:
            obj = self._decoder.body(served, request, options.field_validation)
            decode_warnings = tuple(request.warnings)
            served.strategy.default(obj)
            body = orjson.dumps(obj)
            owners = self._owning.created(served, request, options, obj)
            prepared = Prepared(body, decode_warnings, owners)
            self._templates.keep(key, prepared)
        else:
            obj = prepared.obj()
            request.warnings.extend(prepared.decode_warnings)
        return await self._create(served, request, options, Made(obj), prepared)

    async def update(self, served: Served, request: ApiRequest, rules: Rules) -> Answer:
        """PUT: replace an object, or create it where its kind allows that.

        Raises:
            ApiError: every refusal of the steps above; 409 if the resourceVersion is not newest.
        """
        options = write_options(request)
        first: Object | None = self._decoder.body(served, request, options.field_validation)
        assert first is not None
        check_name(first, request)

        def make(_old: Object | None, _item: Item | None) -> Made:
            nonlocal first
            obj, first = first, None  # a retry needs an object of its own
            return Made(obj or self._decoder.body(served, request, options.field_validation))

        may_create = not rules.subresource and served.strategy.allows_create_on_update
        return await self.change(
            served, request, options=options, rules=rules, make=make, may_create=may_create
        )

    async def change(
        self,
        served: Served,
        request: ApiRequest,
        *,
        options: WriteOptions,
        rules: Rules,
        make: Make,
        may_create: bool = False,
    ) -> Answer:
        """Read, make, check, transact; again while somebody else is faster (bounded).

        Raises:
            ApiError: every refusal of the steps above.
        """
        resource = served.resource
        key = served.key(request.namespace, request.name)
        for _ in range(_CHANGE_ATTEMPTS):
            item = await self._store.get_latest(key)
            if item is None:
                if not may_create:
                    raise errors.not_found(resource.group, resource.plural, request.name)
                self._may_create(request)
                return await self._create(served, request, options, make(None, None))
            try:
                return await self._change_once(
                    served, request, item, options=options, rules=rules, make=make
                )
            except RevisionConflictError:
                del request.warnings[:]
        raise errors.conflict(resource.group, resource.plural, request.name)

    async def _create(
        self,
        served: Served,
        request: ApiRequest,
        options: WriteOptions,
        made: Made,
        prepared: Prepared | None = None,
    ) -> Answer:
        """The steps of a create. A prepared object is defaulted and owned already."""
        obj = made.obj
        check_namespace(obj, request, served)
        if prepared is None:
            served.strategy.default(obj)
        self._identify(obj)
        if prepared is not None:
            owners = prepared.owners_at(self._now())
        elif made.owners is None:
            owners = self._owning.created(served, request, options, obj)
        else:
            owners = made.owners
        asked = AdmissionRequest(
            request=request,
            info=served.info,
            operation=Operation.CREATE,
            obj=obj,
            old=None,
            dry_run=options.dry_run,
        )
        await self._admission.admit(asked)
        served.strategy.prepare_create(obj)
        self._validate_new(served, request, obj, prepared)
        await self._admission.validate(asked)
        return await self._insert(served, obj, owners, options)

    @staticmethod
    def _validate_new(
        served: Served, request: ApiRequest, obj: Object, prepared: Prepared | None
    ) -> None:
        shape = shape_of(obj) if prepared is not None else b""
        if prepared is not None and prepared.valid == shape:
            request.warnings.extend(prepared.warnings)
            return
        _refuse(served, obj, served.strategy.validate(obj))
        warnings = served.strategy.warnings(obj)
        request.warnings.extend(warnings)
        if prepared is not None:
            prepared.valid, prepared.warnings = shape, tuple(warnings)

    async def _insert(
        self, served: Served, obj: Object, owners: list[Any], options: WriteOptions
    ) -> Answer:
        """Transact a new object; a generated name that is taken is drawn again."""
        managed = _dumped(owners)
        meta = obj["metadata"]
        resource = served.resource
        for _ in range(_NAME_ATTEMPTS):
            key = served.key(meta.get("namespace", ""), meta["name"])
            release = self._allocate(served, obj, None)
            try:
                if options.dry_run:
                    if await self._store.get_latest(key) is not None:
                        raise RevisionConflictError(None)
                    return Answer(code=201, obj=_answered(obj, owners))
                item = await self._store.put(
                    key,
                    lambda revision: check_size(
                        served.encode(obj, revision=revision, managed=managed, owners=owners)
                    ),
                    expect=0,
                )
                return Answer(code=201, item=served.item_of(item))
            except RevisionConflictError:
                if not meta.get("generateName") or not meta["name"].startswith(
                    meta["generateName"][:_GENERATED_PREFIX_LONGEST]
                ):
                    raise errors.already_exists(
                        resource.group, resource.plural, meta["name"]
                    ) from None
                meta["name"] = self._generated(meta["generateName"])
            finally:
                release()
        raise _names_exhausted(served, meta["name"])

    async def _change_once(
        self,
        served: Served,
        request: ApiRequest,
        item: Item,
        *,
        options: WriteOptions,
        rules: Rules,
        make: Make,
    ) -> Answer:
        old = served.object_of(item)
        made = make(old, item)
        obj = made.obj
        check_namespace(obj, request, served)
        check_version(served, obj, item)
        if rules.is_defaulted:
            served.strategy.default(obj)
        keep_server_fields(obj, old)
        rules.prepare(obj, old)
        owners = made.owners
        if owners is None:
            owners = self._owning.changed(served, options, rules.subresource, old, obj)
        asked = AdmissionRequest(
            request=request,
            info=served.info,
            operation=Operation.UPDATE,
            obj=obj,
            old=old,
            dry_run=options.dry_run,
        )
        if await self._admission.admit(asked):
            rules.prepare(obj, old)
        _refuse(served, obj, rules.validate(obj, old))
        await self._admission.validate(asked)
        return await self._replace(served, obj, owners, item, options)

    async def _replace(
        self, served: Served, obj: Object, owners: list[Any], item: Item, options: WriteOptions
    ) -> Answer:
        """Transact a changed object, or its removal if that was all it waited for."""
        old = served.object_of(item)
        unchanged = owners is old["metadata"].get("managedFields")
        managed = item.segments[1] if unchanged else _dumped(owners)
        if managed == item.segments[1] and is_same(obj, old) and served.is_current(item):
            return Answer(item=served.item_of(item))
        if options.dry_run:
            obj["metadata"]["resourceVersion"] = item.resource_version
            return Answer(obj=_answered(obj, owners))
        key = served.key(item.namespace, item.name)
        release = self._allocate(served, obj, old)

        def encode(revision: int) -> Item:
            return check_size(served.encode(obj, revision=revision, managed=managed, owners=owners))

        try:
            if is_done(served, obj, old):
                changed = await self._store.delete(key, encode, expect=item.revision)
            else:
                changed = await self._store.put(key, encode, expect=item.revision)
        finally:
            release()
        return Answer(item=served.item_of(changed))

    def _identify(self, obj: Object) -> None:
        """Give a new object its identity (upstream: FillObjectMetaSystemFields)."""
        meta = obj["metadata"]
        if meta.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        for field in (*SERVER_FIELDS, "resourceVersion", "managedFields", "generation"):
            meta.pop(field, None)
        meta["uid"] = self._ids.uid()
        meta["creationTimestamp"] = self._now()
        prefix = meta.get("generateName")
        if prefix and not meta.get("name"):
            meta["name"] = self._generated(prefix)

    def _now(self) -> str:
        return rfc3339(self._clock.now())

    def _generated(self, prefix: str) -> str:
        return prefix[:_GENERATED_PREFIX_LONGEST] + self._ids.suffix()

    def _allocate(self, served: Served, obj: Object, old: Object | None) -> Callable[[], None]:
        allocator = self._allocators.get(served.storage)
        return allocator.allocate(obj, old) if allocator is not None else _nothing


def _nothing() -> None:
    """Nothing was reserved."""


def _dumped(managed: list[Any]) -> bytes:
    # What orjson gives keeps the 4 KiB it was written into; what is kept for long is copied out.
    return bytes(memoryview(orjson.dumps(managed))) if managed else b""


def _answered(obj: Object, owners: list[Any]) -> Object:
    """A dry run's answer: as the object would have been kept."""
    if owners:
        obj["metadata"]["managedFields"] = owners
    return obj


def _refuse(served: Served, obj: Object, causes: list[Cause]) -> None:
    if causes:
        name = obj["metadata"].get("name", "")
        raise errors.invalid(served.resource.group, served.info.kind, name, causes)


def _names_exhausted(served: Served, name: str) -> errors.ApiError:
    """Upstream's NewGenerateNameConflict."""
    error = errors.already_exists(served.resource.group, served.resource.plural, name)
    error.message += ", the server was not able to generate a unique name for the object"
    error.details = {**(error.details or {}), "retryAfterSeconds": 1}
    return error
