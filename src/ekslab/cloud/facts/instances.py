"""Network limits of EC2 instance types (`instance_limits.json` names its source)."""

import functools
import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class NetworkLimits:
    """How many interfaces a type takes, and IPv4 addresses each of them."""

    interfaces: int
    ipv4_per_interface: int
    branch_interfaces: int


@functools.cache
def network_limits() -> Mapping[str, NetworkLimits]:
    """Every known instance type and its limits."""
    text = importlib.resources.files(__package__).joinpath("instance_limits.json").read_bytes()
    return {name: NetworkLimits(*row) for name, row in orjson.loads(text)["types"].items()}
