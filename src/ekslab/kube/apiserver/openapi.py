"""OpenAPI documents of one Kubernetes version: v3 per group version, v2 as one.

Upstream: kube-openapi `pkg/handler3` and `pkg/handler`. `kubectl explain`, client-side validation
and the strategic merge of `kubectl apply` and helm read them. A document is a pure function of the
catalog, so it is made when first asked for, kept as bytes, and shared by all tenants of a version.
"""

import gzip
import hashlib
from typing import Any, Final

import orjson

from ekslab.kube.api.ports import Document
from ekslab.kube.api.protobuf.openapi import MEDIA_TYPE, openapi_message
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.apiserver.openapi_paths import PATH_TEXTS, QUERY, Operation, Path, paths_of, tag
from ekslab.kube.apiserver.openapi_texts import Texts
from ekslab.kube.apiserver.openapi_types import Json, Types

GVK: Final = "x-kubernetes-group-version-kind"
_ACTION: Final = "x-kubernetes-action"
_MEDIA: Final = ("application/json", "application/yaml")
PATCHES: Final = (
    "application/apply-patch+yaml", "application/json-patch+json",
    "application/merge-patch+json", "application/strategic-merge-patch+json",
)  # fmt: skip
_MESSAGE: Final = "v2 as protobuf"  # no path: only its key among the documents
_INFO_TYPE: Final = "io.k8s.apimachinery.pkg.version.Info"
SECURITY: Final = {
    "BearerToken": {
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
        "description": "Bearer Token authentication",
    }
}


class OpenApi:
    """The documents of one catalog, made when asked for and kept."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._texts = Texts()
        self._kept: dict[str, bytes] = {}  # bounded by the number of group versions
        self._documents: dict[str, Document] = {}  # so are these
        self._by_group: dict[str, list[Path]] = {}
        for info in catalog.resources.values():
            resource = info.resource
            root = f"apis/{resource.group}" if resource.group else "api"
            paths = self._by_group.setdefault(f"{root}/{resource.version}", [])
            paths.extend(paths_of(catalog, info))

    def document(self, path: str, *, media_type: str = "application/json") -> Document | None:
        """What to answer for a path under `/openapi/`: `v2`, `v3` or `v3/<group version>`, with its
        ETag and compressed, made once for all tenants; None if there is none. Only `v2` can have
        another media type, that of `openapi_message`.
        """
        if media_type != "application/json":
            return self._v2_message()
        if path not in self._documents:
            content = self._content(path)
            if content is None:
                return None
            etag = hashlib.sha512(content).hexdigest().upper()
            packed = gzip.compress(content, 6, mtime=0)
            self._documents[path] = Document(content, "application/json", etag, packed)
        return self._documents[path]

    def _v2_message(self) -> Document:
        kept = self._documents.get(_MESSAGE)
        if kept is None:
            content = openapi_message(orjson.loads(self.v2()))
            etag = hashlib.sha512(content).hexdigest().upper()
            packed = gzip.compress(content, 6, mtime=0)
            kept = self._documents[_MESSAGE] = Document(content, MEDIA_TYPE, etag, packed)
        return kept

    def _content(self, path: str) -> bytes | None:
        if path == "v2":
            return self.v2()
        if path == "v3":
            return self.v3_index()
        return self.v3_document(path.removeprefix("v3/")) if path.startswith("v3/") else None

    def v3_index(self) -> bytes:
        """`/openapi/v3`: where each document is, with a hash that changes when it does."""
        paths = {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={self._hash(path)}"}
            for path in (*self._by_group, "version")
        }
        return orjson.dumps({"paths": paths})

    def v3_document(self, path: str) -> bytes | None:
        """The document of `api/v1`, `apis/apps/v1`, ... as JSON; None if there is none."""
        if path == "version":
            return self._keep(path, self._v3_version)
        if path not in self._by_group:
            return None
        return self._keep(path, lambda: self._v3(self._by_group[path]))

    def v2(self) -> bytes:
        """`/openapi/v2` as JSON."""
        return self._keep("v2", self._v2)

    def _keep(self, name: str, make: Any) -> bytes:
        if name not in self._kept:
            self._kept[name] = orjson.dumps(make())
        return self._kept[name]

    def _hash(self, path: str) -> str:
        """Of what the document is made from: the version and its table's sources."""
        about = orjson.dumps([self._catalog.version, dict(self._catalog.about), path])
        return hashlib.sha512(about).hexdigest().upper()

    def about(self) -> Json:
        """What every document says of itself."""
        return {"title": "Kubernetes", "version": f"v{self._catalog.version}.0"}

    def _v3(self, paths: list[Path]) -> Json:
        types = Types(self._catalog, self._texts, v3=True)
        named = {name for path in paths for op in path.operations for name in (op.gives, op.takes)}
        return {
            "openapi": "3.0.0",
            "info": self.about(),
            "paths": {path.path: v3_path(path, types) for path in paths},
            "components": {
                "schemas": types.closure(sorted(named - {""})),
                "securitySchemes": SECURITY,
            },
        }

    def _v3_version(self) -> Json:
        types = Types(self._catalog, self._texts, v3=True)
        answer = {"description": "OK", "content": _content(_MEDIA[:1], types.reference(_INFO_TYPE))}
        operation = {
            "tags": ["version"],
            "description": "get the version information for this server",
            "operationId": "getCodeVersion",
            "responses": {"200": answer, "401": {"description": "Unauthorized"}},
        }
        return {
            "openapi": "3.0.0",
            "info": self.about(),
            "paths": {"/version/": {"get": operation}},
            "components": {
                "schemas": types.closure([_INFO_TYPE]),
                "securitySchemes": SECURITY,
            },
        }

    def _v2(self) -> Json:
        types = Types(self._catalog, self._texts, v3=False)
        paths = [path for found in self._by_group.values() for path in found]
        return {
            "swagger": "2.0",
            "info": self.about(),
            "paths": {path.path: v2_path(path, types) for path in paths},
            "definitions": types.closure(self._catalog.types),
            "securityDefinitions": SECURITY,
            "security": [{"BearerToken": []}],
        }


def _base(operation: Operation) -> Json:
    """What both dialects say of an operation."""
    return {
        "tags": [tag(operation.group, operation.version)],
        "description": operation.description,
        "operationId": operation.id,
        _ACTION: operation.action,
        GVK: {
            "group": operation.group,
            "kind": operation.kind,
            "version": operation.version,
        },
    }


def _path_text(name: str, kind: str) -> str:
    return PATH_TEXTS[name].format(kind=kind)


def _content(media: tuple[str, ...], schema: Json) -> Json:
    return {media_type: {"schema": schema} for media_type in media}


def v3_path(path: Path, types: Types, *, patches: tuple[str, ...] = PATCHES) -> Json:
    """A path in v3; `patches` are the media types of its patches."""
    document: Json = {
        operation.method: _v3_operation(operation, types, patches) for operation in path.operations
    }
    document["parameters"] = [
        {
            "name": name,
            "in": "path",
            "description": _path_text(name, path.kind),
            "required": True,
            "schema": {"type": "string", "uniqueItems": True},
        }
        for name in path.parameters
    ] + [_v3_query("pretty")]
    return document


def _v3_query(name: str) -> Json:
    kind, text = QUERY[name]
    return {
        "name": name,
        "in": "query",
        "description": text,
        "schema": {"type": kind, "uniqueItems": True},
    }


def _v3_operation(operation: Operation, types: Types, patches: tuple[str, ...]) -> Json:
    document = _base(operation)
    if operation.query:
        document["parameters"] = [_v3_query(name) for name in operation.query]
    if operation.takes:
        takes = patches if operation.method == "patch" else ("*/*",)
        document["requestBody"] = {"content": _content(takes, types.reference(operation.takes))}
        if operation.method != "delete":
            document["requestBody"]["required"] = True
    schema = types.reference(operation.gives) if operation.gives else {"type": "string"}
    gives = ("text/plain",) if operation.gives_text else _MEDIA
    answer = {"description": "OK", "content": _content(gives, schema)}
    codes = {str(code): answer for code in sorted({200, operation.code})}
    document["responses"] = {**codes, "401": {"description": "Unauthorized"}}
    return document


def v2_path(path: Path, types: Types, *, patches: tuple[str, ...] = PATCHES) -> Json:
    """A path in v2; `patches` are the media types of its patches."""
    document: Json = {
        operation.method: _v2_operation(operation, types, patches) for operation in path.operations
    }
    document["parameters"] = [
        {
            "uniqueItems": True,
            "type": "string",
            "description": _path_text(name, path.kind),
            "name": name,
            "in": "path",
            "required": True,
        }
        for name in path.parameters
    ] + [_v2_query("pretty")]
    return document


def _v2_query(name: str) -> Json:
    kind, text = QUERY[name]
    return {"uniqueItems": True, "type": kind, "description": text, "name": name, "in": "query"}


def _v2_operation(operation: Operation, types: Types, patches: tuple[str, ...]) -> Json:
    document = _base(operation)
    parameters = [_v2_query(name) for name in operation.query]
    if operation.takes:
        body = {"name": "body", "in": "body", "schema": types.reference(operation.takes)}
        parameters.append(body if operation.method == "delete" else body | {"required": True})
    if parameters:
        document["parameters"] = parameters
    document["consumes"] = list(patches) if operation.method == "patch" else ["*/*"]
    document["produces"] = ["text/plain"] if operation.gives_text else list(_MEDIA)
    document["schemes"] = ["https"]
    schema = types.reference(operation.gives) if operation.gives else {"type": "string"}
    answer = {"description": "OK", "schema": schema}
    codes = {str(code): answer for code in sorted({200, operation.code})}
    document["responses"] = {**codes, "401": {"description": "Unauthorized"}}
    return document
