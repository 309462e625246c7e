"""Endpoints of `default/kubernetes`: the control plane's interfaces in the VPC. Pure."""

from collections.abc import Sequence

from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import ENDPOINT_SLICES, ENDPOINTS

_PORT = {"name": "https", "port": 443, "protocol": "TCP"}


def objects(addresses: Sequence[str]) -> list[tuple[Resource, Object]]:
    """What the Endpoints and the EndpointSlice are to hold, beside their metadata."""
    ordered = sorted(addresses)
    subset = {"addresses": [{"ip": address} for address in ordered], "ports": [_PORT]}
    ready = [{"addresses": [address], "conditions": {"ready": True}} for address in ordered]
    return [
        (ENDPOINTS, {"subsets": [subset]}),
        (ENDPOINT_SLICES, {"endpoints": ready, "ports": [_PORT]}),
    ]
