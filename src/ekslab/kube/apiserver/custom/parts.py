"""What keeping the definitions needs of the API server around it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ekslab.kit.clock import Clock
from ekslab.kube.api.ports import Answer
from ekslab.kube.api.requests import ApiRequest
from ekslab.kube.apiserver.registry import Registry, Served
from ekslab.kube.store.port import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What of the API server is needed: its front door, and the way to delete what is stored."""

    handle: Callable[[ApiRequest], Awaitable[Answer]]
    delete_all: Callable[[Served, ApiRequest], Awaitable[Answer]]
    store: Store
    registry: Registry
    clock: Clock
