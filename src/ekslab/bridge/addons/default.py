"""The objects EKS puts into a new cluster unasked (`bootstrapSelfManagedAddons`, the default).

They are applied server-side with EKS's field manager `eks`, once, when the cluster is made: what
users change afterwards is theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from ipaddress import ip_network
from typing import Any, Final

import yaml

from ekslab.kube.api.requests import Object

_SELF_MANAGED: Final = ("vpc-cni", "kube-proxy", "coredns")
# The add-on account of EKS in us-east-1 (EKS user guide, add-on images); others differ by region.
_REGISTRY_ACCOUNT: Final = "602401143452"
_VPC_CNI_VERSION: Final = "v1.23.1"
# CoreDNS per Kubernetes version: eksctl pkg/addons/default/assets, 2026-08.
_COREDNS_VERSIONS: Final = {
    "1.34": "v1.13.2-eksbuild.19",
    "1.35": "v1.13.2-eksbuild.19",
    "1.36": "v1.14.2-eksbuild.1",
}


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What the manifests of a cluster are filled in with.

    `kubernetes_release` is the full version (`v1.36.2`), `service_cidr` decides the DNS address.
    """

    name: str
    region: str
    vpc: str
    endpoint: str
    kubernetes_version: str
    kubernetes_release: str
    service_cidr: str


def own_objects() -> Sequence[Object]:
    """What EKS's own components need before anything else runs: their roles and bindings."""
    return _load("eks")


def self_managed_addons(facts: ClusterFacts) -> Sequence[Object]:
    """aws-node, kube-proxy and coredns, in the order in which they are created."""
    values = {
        "cluster": facts.name,
        "vpc": facts.vpc,
        "endpoint": facts.endpoint,
        "registry": f"{_REGISTRY_ACCOUNT}.dkr.ecr.{facts.region}.amazonaws.com",
        "vpc_cni_version": _VPC_CNI_VERSION,
        "kubernetes_release": facts.kubernetes_release,
        "coredns_version": _COREDNS_VERSIONS.get(
            facts.kubernetes_version, _COREDNS_VERSIONS["1.36"]
        ),
        "dns_ip": str(ip_network(facts.service_cidr)[10]),
    }
    return [_fill(obj, values) for name in _SELF_MANAGED for obj in _load(name)]


def _load(name: str) -> list[Object]:
    text = resources.files(__package__).joinpath("manifests", f"{name}.yaml").read_text()
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def _fill(value: Any, values: dict[str, str]) -> Any:
    """Put the values where `{name}` stands, in strings at any depth; other braces are left."""
    if isinstance(value, dict):
        return {key: _fill(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, values) for inner in value]
    if isinstance(value, str):
        for name, filled in values.items():
            value = value.replace("{" + name + "}", filled)
    return value
