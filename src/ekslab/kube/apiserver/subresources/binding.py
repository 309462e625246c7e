"""Binding a pod to a node: `pods/binding`, and `bindings` itself.

Upstream: `pkg/registry/core/pod/storage/storage.go` (assignPod). The object is changed as little as
can be: nodeName, the annotations of the binding, and the PodScheduled condition. It is the
scheduler's hot path, so what cannot have changed is neither defaulted nor validated again.
"""

from typing import Any, Final

from ekslab.kit.clock import Clock, rfc3339
from ekslab.kube.api import errors
from ekslab.kube.api.errors import Cause, bad_request
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import AdmissionRequest, Answer, Operation
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.apiserver.admission.chain import AdmissionChain
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.options import write_options
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.store.port import Key, RevisionConflictError, Store

_ATTEMPTS: Final = 16
_BINDING: Final = "io.k8s.api.core.v1.Binding"
SUCCESS: Final[Object] = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Success",
    "code": 201,
}


class Binder:
    """Assigns pods to nodes."""

    def __init__(
        self,
        *,
        store: Store,
        decoder: Decoder,
        catalog: Catalog,
        admission: AdmissionChain,
        clock: Clock,
    ) -> None:
        self._store = store
        self._decoder = decoder
        self._schema = catalog.type(_BINDING)
        self._admission = admission
        self._clock = clock

    async def handle(self, served: Served, request: ApiRequest) -> Answer:
        """Bind the pod of the path (or of the Binding's name) to the target.

        Raises:
            ApiError: 404, 422 for a bad target, 409 if the pod is bound or being deleted.
        """
        options = write_options(request)
        binding = self._decoder.typed(
            request,
            schema=self._schema,
            kind="Binding",
            api_version="v1",
            mode=options.field_validation,
        )
        name = _checked_name(binding, request)
        target = binding.get("target") or {}
        _check_target(binding, target)
        if self._admission.handles(served.info, "binding", Operation.CREATE):
            asked = AdmissionRequest(
                request=request,
                info=served.info,
                operation=Operation.CREATE,
                obj=binding,
                old=None,
                dry_run=options.dry_run,
            )
            await self._admission.admit(asked)
            await self._admission.validate(asked)
        await self._bind(
            served, Key("pods", request.namespace, name), binding, dry_run=options.dry_run
        )
        return Answer(code=201, obj=SUCCESS)

    async def _bind(self, served: Served, key: Key, binding: Object, *, dry_run: bool) -> None:
        for _ in range(_ATTEMPTS):
            item = await self._store.get_latest(key)
            if item is None:
                raise errors.not_found("", "pods", key.name)
            old = item.object
            _check_bindable(binding, old, key.name)
            if dry_run:
                return
            obj = bound(old, binding, now=rfc3339(self._clock.now()))
            managed, owners = item.segments[1], old["metadata"].get("managedFields") or []
            fields = {**item.fields, "spec.nodeName": binding["target"]["name"]}

            def encode(
                revision: int, obj: Object = obj, managed: bytes = managed,
                owners: list[Any] = owners, fields: dict[str, str] = fields,
            ) -> Item:  # fmt: skip
                return served.encode_with(
                    obj, revision=revision, managed=managed, owners=owners, fields=fields
                )

            try:
                await self._store.put(key, encode, expect=item.revision)
            except RevisionConflictError:
                continue
            return
        raise errors.conflict("", "pods/binding", key.name)


def bound(old: Object, binding: Object, *, now: str) -> Object:
    """The pod with its node; shares what it leaves alone."""
    obj = dict(old)
    obj["spec"] = {**old["spec"], "nodeName": binding["target"]["name"]}
    annotations = binding["metadata"].get("annotations")
    if annotations:
        meta = dict(old["metadata"])
        meta["annotations"] = {**(meta.get("annotations") or {}), **annotations}
        obj["metadata"] = meta
    status = dict(old.get("status") or {})
    status.pop("nominatedNodeName", None)
    conditions = [entry for entry in status.get("conditions") or () if not _scheduled(entry)]
    scheduled = {
        "type": "PodScheduled",
        "status": "True",
        "lastTransitionTime": now,
    }
    generation = old["metadata"].get("generation")
    if generation:
        scheduled["observedGeneration"] = generation
    status["conditions"] = [*conditions, scheduled]
    obj["status"] = status
    return obj


def _scheduled(condition: dict[str, Any]) -> bool:
    return bool(condition.get("type") == "PodScheduled")


def _checked_name(binding: Object, request: ApiRequest) -> str:
    meta = binding["metadata"]
    said = str(meta.get("name", ""))
    if request.name and said and said != request.name:
        message = (
            f"the name of the object ({said}) does not match the name on the URL ({request.name})"
        )
        raise bad_request(message)
    namespace = meta.get("namespace")
    if namespace and namespace != request.namespace:
        message = (
            "the namespace of the provided object does not match the namespace sent on the request"
        )
        raise bad_request(message)
    return request.name or said


def _check_target(binding: Object, target: dict[str, Any]) -> None:
    causes = []
    kind = target.get("kind", "")
    if kind not in {"", "Node"}:
        text = f'Unsupported value: "{kind}": supported values: "Node", "<empty>"'
        causes.append(Cause("target.kind", text, "FieldValueNotSupported"))
    if not target.get("name"):
        causes.append(Cause("target.name", "Required value", "FieldValueRequired"))
    if causes:
        raise errors.invalid("", "Binding", binding["metadata"].get("name", ""), causes)


def _check_bindable(binding: Object, pod: Object, name: str) -> None:
    uid = binding["metadata"].get("uid")
    meta = pod["metadata"]
    if uid and uid != meta["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta['uid']}"
        raise errors.conflict("", "pods", name, why)
    if "deletionTimestamp" in meta:
        why = f"pod {name} is being deleted, cannot be assigned to a host"
        raise errors.conflict("", "pods/binding", name, why)
    node = pod["spec"].get("nodeName")
    if node:
        why = f'pod {name} is already assigned to node "{node}"'
        raise errors.conflict("", "pods/binding", name, why)
    if pod["spec"].get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
        raise errors.conflict("", "pods/binding", name, why)
