"""`/scale`: the count of replicas through one kind for all (autoscaling/v1 Scale).

Upstream: `pkg/registry/apps/{deployment,replicaset,statefulset}/storage` and
`pkg/registry/core/replicationcontroller/storage` (ScaleREST).
"""

from typing import Any, Final

from ekslab.kube.api import errors
from ekslab.kube.api.errors import Cause
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.ports import Answer
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.api.selectors import label_selector
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.options import WriteOptions, write_options
from ekslab.kube.apiserver.patching import apply_patch, parse_patch, patch_type
from ekslab.kube.apiserver.reading import Reader
from ekslab.kube.apiserver.registry import ScalePaths, Served
from ekslab.kube.apiserver.writing import Made, Make, Rules, Writer

_KIND: Final = "Scale"
_API_VERSION: Final = "autoscaling/v1"
_TYPE: Final = "io.k8s.api.autoscaling.v1.Scale"
_REPLICAS: Final = ("spec", "replicas")


class ScaleDoor:
    """Gets, updates and patches the Scale of an object."""

    def __init__(self, reader: Reader, writer: Writer, decoder: Decoder, catalog: Catalog) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self._schema = catalog.type(_TYPE)

    async def handle(self, served: Served, request: ApiRequest) -> Answer:
        """Answer get, update and patch."""
        if request.verb == "get":
            item = self._reader.get(served, request)
            return Answer(obj=scale_of(item.object, served.scale))
        options = write_options(request)
        make = (
            self._make_from_patch(served, request, options)
            if request.verb == "patch"
            else self._make_from_body(served, request, options)
        )
        strategy = served.strategy
        rules = Rules("scale", strategy.prepare_update, strategy.validate_update)
        answer = await self._writer.change(served, request, options=options, rules=rules, make=make)
        obj = answer.item.object if answer.item is not None else answer.obj
        assert obj is not None
        return Answer(code=answer.code, obj=scale_of(obj, served.scale))

    def _make_from_body(self, served: Served, request: ApiRequest, options: WriteOptions) -> Make:
        def make(old: Object | None, _item: Item | None) -> Made:
            assert old is not None
            scale = self._decoder.typed(
                request,
                schema=self._schema,
                kind=_KIND,
                api_version=_API_VERSION,
                mode=options.field_validation,
            )
            return Made(_scaled(old, scale, served.scale))

        return make

    def _make_from_patch(self, served: Served, request: ApiRequest, options: WriteOptions) -> Make:
        kind = patch_type(request, custom=False)
        patch = parse_patch(request, kind)

        def make(old: Object | None, _item: Item | None) -> Made:
            assert old is not None
            patched = apply_patch(kind, scale_of(old, served.scale), patch, self._schema)
            scale = self._decoder.checked(
                patched,
                request,
                schema=self._schema,
                kind=_KIND,
                api_version=_API_VERSION,
                mode=options.field_validation,
            )
            return Made(_scaled(old, scale, served.scale))

        return make


def scale_of(obj: Object, paths: ScalePaths | None = None) -> Object:
    """The Scale of an object; `paths` say where a custom object has what it shows."""
    meta = obj["metadata"]
    fields = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    spec = obj.get("spec") or {}
    if paths is None:
        replicas = spec.get("replicas", 1)
        current = (obj.get("status") or {}).get("replicas", 0)
        selector = _selector_text(spec.get("selector"))
    else:
        replicas, current = _count_at(obj, paths.spec), _count_at(obj, paths.status)
        text = _value_at(obj, paths.selector) if paths.selector else ""
        selector = text if isinstance(text, str) else ""
    status: dict[str, Any] = {"replicas": current}
    if selector:
        status["selector"] = selector
    return {
        "kind": _KIND,
        "apiVersion": _API_VERSION,
        "metadata": {key: meta[key] for key in fields if key in meta},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _value_at(obj: Object, path: tuple[str, ...]) -> Any:
    from ekslab.kube.api.structural.paths import value_at  # there are custom resources, then

    return value_at(obj, path)


def _count_at(obj: Object, path: tuple[str, ...]) -> int:
    found = _value_at(obj, path)
    return found if isinstance(found, int) else 0


def _selector_text(selector: dict[str, Any] | None) -> str:
    if not selector:
        return ""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        selector = {"matchLabels": selector}  # a ReplicationController has a plain map
    return str(label_selector(selector))


def _scaled(old: Object, scale: Object, paths: ScalePaths | None) -> Object:
    """A private copy of the object with the scale's replicas and preconditions."""
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    meta = scale["metadata"]
    if replicas < 0:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        cause = Cause("spec.replicas", text)
        raise errors.invalid("autoscaling", _KIND, meta.get("name", ""), [cause])
    obj = editable(old)
    *above, last = paths.spec if paths is not None else _REPLICAS
    part = obj
    for name in above:
        part = part.setdefault(name, {})
    part[last] = replicas
    for field in ("resourceVersion", "uid"):
        if meta.get(field):
            obj["metadata"][field] = meta[field]
    return obj
