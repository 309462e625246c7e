"""Webhooks of a test: a server in the cluster's own loop, and configurations that are about one
namespace and no other.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conformance.api import Api, Collection, Object
from tests.conformance.cluster import ServedCluster
from tests.webhooks.hooks import HookServer, configuration, hook

ADMISSION = "admissionregistration.k8s.io/v1"


class Hooks:
    """A webhook server, and the way to configurations of it."""

    def __init__(self, served: ServedCluster, api: Api, home: Path) -> None:
        self._served = served
        self.mutating = api.at(ADMISSION, "mutatingwebhookconfigurations")
        self.validating = api.at(ADMISSION, "validatingwebhookconfigurations")
        self.server = HookServer(home)
        self._run(self.server.start())

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._served.loop).result(timeout=30)

    def stop(self) -> None:
        """End the server."""
        self._run(self.server.stop())

    def one(self, namespace: str, path: str, answer: object, *rules: Object, **more: object):
        """A webhook that is called for objects of one namespace."""
        selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
        more.setdefault("namespaceSelector", selector)
        return hook(self.server.at(f"/{namespace}{path}", answer), *rules, **more)

    @contextmanager
    def registered(self, at: Collection, name: str, *hooks: Object) -> Iterator[Object]:
        """While the block lasts, these are called."""
        made = at.create(configuration(*hooks, name=name))
        try:
            yield made
        finally:
            at.delete(name)


def deny_bad(request: Object) -> Object:
    """Refuses what says that it is bad."""
    obj = request["object"] or request["oldObject"]
    labels = obj["metadata"].get("labels") or {}
    is_bad = labels.get("is") == "bad" or (obj.get("data") or {}).get("is") == "bad"
    return {"allowed": not is_bad, "status": {"message": "this is bad"}}
