"""The pods the tests speak to."""

from typing import Any

from tests.conformance.api import Api

Object = dict[str, Any]


def pod(name: str, *, containers: tuple[str, ...] = ("main",), **spec: Any) -> Object:
    boxes = [{"name": one, "image": "nginx"} for one in containers]
    return {"metadata": {"name": name}, "spec": {"containers": boxes, **spec}}


SETTINGS = {"metadata": {"name": "settings"}, "data": {"color": "blue\n", "size": "large\n"}}
KEYS = {"metadata": {"name": "keys"}, "stringData": {"key": "s3cret\n"}}


def full() -> Object:
    """A pod that has something of everything mounted."""
    made = pod(
        "full",
        volumes=[
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "keys", "secret": {"secretName": "keys"}},
            {"name": "pod", "downwardAPI": {"items": [
                {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
            ]}},
        ],
    )  # fmt: skip
    made["metadata"]["labels"] = {"app": "full"}
    made["spec"]["containers"][0] |= {
        "resources": {"limits": {"cpu": "1500m"}},
        "env": [
            {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "plain", "key": "color"}}},
            {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "GREETING", "value": "hello $(ME)"},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
        "volumeMounts": [
            {"name": "settings", "mountPath": "/etc/settings"},
            {"name": "settings", "mountPath": "/etc/one/size", "subPath": "size"},
            {"name": "keys", "mountPath": "/etc/keys"},
            {"name": "pod", "mountPath": "/etc/pod"},
        ],
    }
    return made


PODS = (
    full(),
    pod("web"),
    pod("two", containers=("first", "second")),
)


class Pods:
    """Pods of the namespace `default`."""

    def __init__(self, api: Api) -> None:
        self._pods = api.at("v1", "pods", "default")
        api.at("v1", "configmaps", "default").create(SETTINGS)
        plain = {"metadata": {"name": "plain"}, "data": {"color": "blue"}}
        api.at("v1", "configmaps", "default").create(plain)
        api.at("v1", "secrets", "default").create(KEYS)
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
