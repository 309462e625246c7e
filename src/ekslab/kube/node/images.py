"""Images of one simulated node: which are there, and when a pull is through."""

import hashlib
from dataclasses import dataclass
from typing import Final

from ekslab.kube.node.timing import Timing, image_bytes

_LISTED_MOST: Final = 50
"""Upstream `nodeStatusMaxImages`."""


@dataclass(frozen=True, slots=True)
class Pull:
    """When an image is on the node. `took_s` is 0 if it was there and nobody asked a registry."""

    done_s: float
    took_s: float
    contacts_registry: bool


class NodeImages:
    """Images present on a node, or on their way. Pods that need the same pull share it."""

    def __init__(self, node: str, timing: Timing) -> None:
        self._node = node
        self._timing = timing
        self._present_s: dict[str, float] = {}

    def need(self, image: str, policy: str, now_s: float) -> Pull | None:
        """Have an image; None if it is absent and the policy is Never."""
        present_s = self._present_s.get(image)
        if present_s is None:
            if policy == "Never":
                return None
            took_s = self._timing.spread(self._timing.pull_s(image), self._node, image)
            self._present_s[image] = now_s + took_s
            return Pull(now_s + took_s, took_s, contacts_registry=True)
        if present_s > now_s:
            return Pull(present_s, present_s - now_s, contacts_registry=True)
        if policy == "Always":
            took_s = self._timing.spread(self._timing.registry_s, self._node, image)
            return Pull(now_s + took_s, took_s, contacts_registry=True)
        return Pull(now_s, 0.0, contacts_registry=False)

    def adopt(self, image: str, now_s: float) -> None:
        """An image that was there before the agent started."""
        self._present_s.setdefault(image, now_s)

    def listing(self, now_s: float) -> list[dict[str, object]]:
        """`status.images` of the Node, the largest first."""
        there = [image for image, present_s in self._present_s.items() if present_s <= now_s]
        there.sort(key=lambda image: (-image_bytes(image), image))
        return [
            {"names": [image_id(image), full_image(image)], "sizeBytes": image_bytes(image)}
            for image in there[:_LISTED_MOST]
        ]


def full_image(image: str) -> str:
    """The name with registry and tag, as containerd reports it.

    >>> full_image("nginx")
    'docker.io/library/nginx:latest'
    """
    first, slash, rest = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif "." not in first and ":" not in first and first != "localhost":
        image = f"docker.io/{first}/{rest}"
    if "@" in image or ":" in image.rpartition("/")[2]:
        return image
    return f"{image}:latest"


def image_id(image: str) -> str:
    """Repository and digest. The digest is that of the name: there is no real image here."""
    full = full_image(image)
    repository, at, digest = full.partition("@")
    if at:
        return f"{repository}@{digest}"
    path, _, name = full.rpartition("/")
    repository = f"{path}/{name.partition(':')[0]}"
    return f"{repository}@sha256:{hashlib.sha256(full.encode()).hexdigest()}"
