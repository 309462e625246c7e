"""Paths that are no resource: discovery, OpenAPI, version, token issuer, index of paths.

Upstream: `apiserver/pkg/server/routes`, `pkg/server/healthz`, `pkg/routes/openidmetadata.go`.
Documents are made once and kept as bytes with their ETag: discovery per generation of the registry,
the rest per version.
"""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import orjson

from ekslab.kube.api import errors, media
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Answer, Document
from ekslab.kube.api.protobuf.openapi import ASKED_FOR, MEDIA_TYPE
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.apiserver.discovery import Discovery
from ekslab.kube.apiserver.health import ENDPOINTS, Health
from ekslab.kube.apiserver.registry import Registry
from ekslab.kube.apiserver.subresources.tokens import TokenIssuer

if TYPE_CHECKING:
    from ekslab.kube.apiserver.openapi import OpenApi

_GZIP_FROM_BYTES: Final = 16_384
_DISCOVERIES: Final = (media.DISCOVERY,)
# Patch releases and commits of the upstream versions EKS serves; the suffix is how EKS words it.
_PATCH: Final[Mapping[str, str]] = {"1.34": "2", "1.35": "1", "1.36": "0"}
_BUILD_DATE: Final = "2026-05-01T00:00:00Z"
_JWKS_TYPE: Final = "application/jwk-set+json"
# By the name that pods reach the API server by, and its certificate has.
_JWKS_URI: Final = "https://kubernetes.default.svc/openid/v1/jwks"


@lru_cache(maxsize=8)
def _open_api(catalog: Catalog) -> "OpenApi":
    from ekslab.kube.apiserver.openapi import OpenApi  # asked for by few, costs 20 ms

    return OpenApi(catalog)


def document(obj: Object, *, media_type: str = "application/json") -> Document:
    """An object as a document with its ETag."""
    return _document(orjson.dumps(obj), media_type=media_type)


def _document(content: bytes, *, media_type: str) -> Document:
    etag = hashlib.sha512(content).hexdigest().upper()
    packed = gzip.compress(content, 6, mtime=0) if len(content) >= _GZIP_FROM_BYTES else None
    return Document(content, media_type, etag, packed)


def git_version_of(version: str) -> str:
    """`v1.36.0-eks-<7 hex>`: what `/version` and nodes of that version say."""
    full = f"v{version}.{_PATCH.get(version, '0')}"
    return f"{full}-eks-{hashlib.sha256(full.encode()).hexdigest()[:7]}"


class Documents:
    """Answers paths that are no resource."""

    def __init__(
        self, registry: Registry, *, git_version: str, issuer: TokenIssuer, health: Health
    ) -> None:
        self._registry = registry
        self._health = health
        self._issuer = issuer
        self._version = registry.catalog.version
        self._git_version = git_version or git_version_of(self._version)
        self._discovery = Discovery(registry)
        self._generation = registry.generation
        self._kept: dict[tuple[str, str], Document] = {}

    def answer(self, request: ApiRequest) -> Answer:
        """The document of a path.

        Raises:
            ApiError: 404 for a path that is not there, 405 for a method other than GET.
        """
        if request.verb not in {"get", "head"}:
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the"
                           " requested resource", details={})  # fmt: skip
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._discovery = Discovery(self._registry)
            self._kept.clear()
        path = request.path.rstrip("/") or "/"
        first, *rest = path.removeprefix("/").split("/")
        if first in ENDPOINTS:
            return self._health.answer(first, "/".join(rest), request)
        accept = _aggregated_version(request.accept) if path in {"/api", "/apis"} else ""
        if path == "/openapi/v2" and request.accept.partition(";")[0] in ASKED_FOR:
            accept = MEDIA_TYPE
        kept = self._kept.get((path, accept))
        if kept is None:
            kept = self._make(first, rest, accept)
            if kept is None:
                raise errors.path_not_found()
            self._kept[path, accept] = kept
        return Answer(document=kept)

    def _make(self, first: str, rest: list[str], accept: str) -> Document | None:
        if accept == MEDIA_TYPE:
            return self._open_api(["v2"], media_type=accept)
        if accept:
            media_type = (
                f"application/json;g=apidiscovery.k8s.io;v={accept};as=APIGroupDiscoveryList"
            )
            return document(self._discovery.aggregated(first, accept), media_type=media_type)
        makers: dict[str, Callable[[list[str]], Document | None]] = {
            "": lambda _rest: document({"paths": self._paths()}),
            "api": self._core,
            "apis": self._named,
            "version": lambda rest: None if rest else self._version_document(),
            "openapi": self._open_api,
            ".well-known": self._well_known,
            "openid": self._keys,
        }
        maker = makers.get(first)
        return maker(rest) if maker is not None else None

    def _open_api(
        self, rest: list[str], *, media_type: str = "application/json"
    ) -> Document | None:
        """The document all share, or with the tenant's own resources in it."""
        path = "/".join(rest)
        shared = _open_api(self._registry.catalog)
        if not self._registry.own:
            return shared.document(path, media_type=media_type)
        from ekslab.kube.apiserver.custom.publishing import document_of

        return document_of(path, self._registry, shared, media_type=media_type)

    def _core(self, rest: list[str]) -> Document | None:
        if not rest:
            return document(self._discovery.api_versions("127.0.0.1:443"))
        return _optional(self._discovery.resources("", rest[0]) if len(rest) == 1 else None)

    def _named(self, rest: list[str]) -> Document | None:
        if not rest:
            return document(self._discovery.groups())
        if len(rest) == 1:
            return _optional(self._discovery.group(rest[0]))
        return _optional(self._discovery.resources(*rest) if len(rest) == 2 else None)

    def _well_known(self, rest: list[str]) -> Document | None:
        if rest != ["openid-configuration"]:
            return None
        return document(self._issuer.format.openid_configuration(_JWKS_URI))

    def _keys(self, rest: list[str]) -> Document | None:
        if rest != ["v1", "jwks"]:
            return None
        return document(self._issuer.format.jwks(), media_type=_JWKS_TYPE)

    def _version_document(self) -> Document:
        """Upstream indents this one document (`apiserver/pkg/server/routes/version.go`)."""
        text = orjson.dumps(self._version_info(), option=orjson.OPT_INDENT_2)
        return _document(text, media_type="application/json")

    def _version_info(self) -> Object:
        major, minor = self._version.split(".")
        commit = hashlib.sha1(self._git_version.encode(), usedforsecurity=False).hexdigest()
        return {
            "major": major,
            "minor": minor,
            "emulationMajor": major,
            "emulationMinor": minor,
            "minCompatibilityMajor": major,
            "minCompatibilityMinor": str(int(minor) - 1),
            "gitVersion": self._git_version,
            "gitCommit": commit,
            "gitTreeState": "clean",
            "buildDate": _BUILD_DATE,
            "goVersion": "go1.25.0",
            "compiler": "gc",
            "platform": "linux/amd64",
        }

    def _paths(self) -> list[str]:
        paths = {"/.well-known/openid-configuration", "/api", "/apis", "/metrics", "/openapi/v2",
                 "/openapi/v3", "/openid/v1/jwks", "/version"}  # fmt: skip
        paths.update(self._health.paths())
        for served in self._registry:
            resource = served.resource
            if resource.group:
                paths.add(f"/apis/{resource.group}")
                paths.add(f"/apis/{resource.api_version}")
            else:
                paths.add(f"/api/{resource.version}")
        return sorted(paths)


def _optional(obj: Object | None) -> Document | None:
    return None if obj is None else document(obj)


def _aggregated_version(accept: str) -> str:
    """The version of aggregated discovery that `Accept` prefers; "" for the old documents."""
    transform = media.negotiate(accept, transforms=_DISCOVERIES).transform
    return transform.version if transform is not None else ""
