"""Discovery: which groups, versions and resources there are.

The old documents (`/api`, `/apis`, `/apis/<group>`, `/apis/<group>/<version>`) and the aggregated
one (`apidiscovery.k8s.io`, all in one), as upstream's `apiserver/pkg/endpoints/discovery`.
Made once per generation of the registry.
"""

import re
from typing import Any, Final

from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import ResourceInfo, SubresourceInfo
from ekslab.kube.apiserver.registry import Registry


class Discovery:
    """The documents of one registry at one generation."""

    def __init__(self, registry: Registry) -> None:
        self._groups: dict[str, dict[str, list[ResourceInfo]]] = {}
        for served in registry:
            resource = served.resource
            versions = self._groups.setdefault(resource.group, {})
            versions.setdefault(resource.version, []).append(served.info)
        for group, versions in self._groups.items():
            self._groups[group] = dict(
                sorted(versions.items(), key=lambda kv: version_order(kv[0]))
            )

    def api_versions(self, server_address: str) -> Object:
        """`/api`."""
        return {
            "kind": "APIVersions",
            "versions": list(self._groups.get("", {})),
            "serverAddressByClientCIDRs": [
                {"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}
            ],
        }

    def groups(self) -> Object:
        """`/apis`."""
        groups = [self._group(name) for name in self._groups if name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def group(self, name: str) -> Object | None:
        """`/apis/<group>`."""
        if not name or name not in self._groups:
            return None
        return {"kind": "APIGroup", "apiVersion": "v1", **self._group(name)}

    def _group(self, name: str) -> Object:
        versions = [
            {"groupVersion": f"{name}/{version}", "version": version}
            for version in self._groups[name]
        ]
        return {"name": name, "versions": versions, "preferredVersion": versions[0]}

    def resources(self, group: str, version: str) -> Object | None:
        """`/api/v1` and `/apis/<group>/<version>`."""
        infos = self._groups.get(group, {}).get(version)
        if infos is None:
            return None
        listed: list[Object] = []
        for info in infos:
            listed.append(_resource(info))
            listed.extend(_subresource(info, sub) for sub in info.subresources)
        listed.sort(key=lambda entry: str(entry["name"]))
        document: Object = {"kind": "APIResourceList"}
        if group:
            document["apiVersion"] = "v1"
        document["groupVersion"] = f"{group}/{version}" if group else version
        document["resources"] = [entry for entry in listed if not entry["name"].startswith("/")]
        return document

    def aggregated(self, root: str, version: str) -> Object:
        """`/api` (root "api") or `/apis` as one APIGroupDiscoveryList of v2 or v2beta1."""
        groups = [name for name in self._groups if bool(name) == (root == "apis")]
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": [self._aggregated_group(name) for name in groups],
        }

    def _aggregated_group(self, name: str) -> Object:
        metadata: Object = {"creationTimestamp": None}
        if name:
            metadata["name"] = name
        versions = [
            {
                "version": version,
                "resources": [_aggregated_resource(info) for info in infos],
                "freshness": "Current",
            }
            for version, infos in self._groups[name].items()
        ]
        return {"metadata": metadata, "versions": versions}


_VERSION: Final = re.compile(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?")
_STAGES: Final = {None: 0, "beta": 1, "alpha": 2}
_UNLIKE: Final = 3


def version_order(version: str) -> tuple[int, int, int, str]:
    """Sorts v2 before v1 before v1beta2 before v1beta1 before v1alpha1 (kube-aware order), and
    what looks like none of them behind, by the alphabet.
    """
    found = _VERSION.fullmatch(version)
    if found is None:
        return (_UNLIKE, 0, 0, version)
    return (_STAGES[found[2]], -int(found[1]), -int(found[3] or 0), "")


def _resource(info: ResourceInfo) -> Object:
    entry: dict[str, Any] = {
        "name": info.resource.plural,
        "singularName": info.singular,
        "namespaced": info.namespaced,
        "kind": info.kind,
        "verbs": list(info.verbs),
    }
    if info.short_names:
        entry["shortNames"] = list(info.short_names)
    if info.categories:
        entry["categories"] = list(info.categories)
    return entry


def _subresource(info: ResourceInfo, sub: SubresourceInfo) -> Object:
    entry: dict[str, Any] = {
        "name": f"{info.resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": info.namespaced,
    }
    if (sub.group, sub.version) != (info.resource.group, info.resource.version):
        entry["group"] = sub.group
        entry["version"] = sub.version
    entry["kind"] = sub.kind
    entry["verbs"] = list(sub.verbs)
    return entry


def _kind(group: str, version: str, kind: str) -> Object:
    return {"group": group, "version": version, "kind": kind}


def _aggregated_resource(info: ResourceInfo) -> Object:
    resource = info.resource
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": _kind(resource.group, resource.version, info.kind),
        "scope": "Namespaced" if info.namespaced else "Cluster",
        "singularResource": info.singular,
        "verbs": list(info.verbs),
    }
    if info.short_names:
        entry["shortNames"] = list(info.short_names)
    if info.categories:
        entry["categories"] = list(info.categories)
    if info.subresources:
        entry["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _kind(sub.group, sub.version, sub.kind),
                "verbs": list(sub.verbs),
            }
            for sub in sorted(info.subresources, key=lambda sub: sub.name)
        ]
    return entry
