"""The pods the tests speak to."""

from typing import Any

from tests.conformance.api import Api

Object = dict[str, Any]


def pod(name: str, *, containers: tuple[str, ...] = ("main",), **spec: Any) -> Object:
    boxes = [{"name": one, "image": "nginx"} for one in containers]
    return {"metadata": {"name": name}, "spec": {"containers": boxes, **spec}}


PODS = (
    pod("web"),
    pod("two", containers=("first", "second")),
)


class Pods:
    """Pods of the namespace `default`."""

    def __init__(self, api: Api) -> None:
        self._pods = api.at("v1", "pods", "default")
        accounts = api.at("v1", "serviceaccounts", "default")
        with accounts.watch() as watch:
            watch.until("ADDED", lambda account: account["metadata"]["name"] == "default")

    def create(self, pods: tuple[Object, ...]) -> None:
        """Create pods, and wait until they run."""
        for one in pods:
            self._pods.create(one)
        for one in pods:
            self.until(one["metadata"]["name"], "Running")

    def until(self, name: str, phase: str) -> Object:
        """Wait until a pod is in a phase."""

        def is_it(pod: Object) -> bool:
            return pod["metadata"]["name"] == name and pod["status"].get("phase") == phase

        with self._pods.watch() as watch:
            while True:
                _, found = watch.next()
                if is_it(found):
                    return found
