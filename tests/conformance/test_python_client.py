"""Some behaviours once more through the official Python client, which types what it reads."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException

from tests.conformance.kubectl import Kubectl
from tests.conformance.objects import config_map, pod

conformance = pytest.mark.conformance


@pytest.fixture(scope="module")
def python(kubectl: Kubectl) -> Iterator[client.ApiClient]:
    """The Python client, with kubectl's kubeconfig."""
    made = config.new_client_from_config(config_file=str(kubectl.kubeconfig))
    yield made
    made.close()


@conformance("configmap-lifecycle")
def test_a_config_map_lives(python: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(python)
    chosen = f"show={namespace}"
    made = core.create_namespaced_config_map(
        namespace, config_map("shown", {"show": namespace}, key="first")
    )
    assert isinstance(made.metadata.creation_timestamp, datetime)
    core.patch_namespaced_config_map("shown", namespace, {"data": {"key": "second"}})
    (found,) = core.list_config_map_for_all_namespaces(label_selector=chosen).items
    assert (found.metadata.uid, found.data) == (made.metadata.uid, {"key": "second"})
    core.delete_collection_namespaced_config_map(namespace, label_selector=chosen)
    assert core.list_config_map_for_all_namespaces(label_selector=chosen).items == []


@conformance("lease-api")
def test_the_times_of_a_lease_are_kept_to_the_microsecond(
    python: client.ApiClient, namespace: str
) -> None:
    leases = client.CoordinationV1Api(python)
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    spec = client.V1LeaseSpec(
        holder_identity="first", lease_duration_seconds=30, acquire_time=moment, renew_time=moment
    )
    body = client.V1Lease(metadata=client.V1ObjectMeta(name="shown"), spec=spec)
    assert leases.create_namespaced_lease(namespace, body).spec == spec
    found = leases.read_namespaced_lease("shown", namespace)
    assert found.spec == spec
    found.spec.holder_identity = "second"
    assert leases.replace_namespaced_lease("shown", namespace, found).spec == found.spec
    leases.delete_namespaced_lease("shown", namespace)
    with pytest.raises(ApiException) as gone:
        leases.read_namespaced_lease("shown", namespace)
    assert (gone.value.status, gone.value.reason) == (404, "Not Found")


@conformance("watch-restart")
def test_a_watch_goes_on_at_the_version_another_ended_with(
    python: client.ApiClient, namespace: str
) -> None:
    core = client.CoreV1Api(python)
    since = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("shown", key="0"))

    def seen(count: int, since: str) -> list[tuple[str, str, str]]:
        """Type, data and version of the next events."""
        found: list[tuple[str, str, str]] = []
        selector = "metadata.name=shown"
        more = {"field_selector": selector, "resource_version": since, "timeout_seconds": 10}
        watching = watch.Watch()
        for event in watching.stream(core.list_namespaced_config_map, namespace, **more):
            obj = event["object"]
            found.append((event["type"], obj.data["key"], obj.metadata.resource_version))
            if len(found) == count:
                watching.stop()
        return found

    ((kind, _, version),) = seen(1, since)
    assert kind == "ADDED"
    for number in ("1", "2"):
        core.patch_namespaced_config_map("shown", namespace, {"data": {"key": number}})
    core.delete_namespaced_config_map("shown", namespace)
    assert [(kind, key) for kind, key, _ in seen(3, version)] == [
        ("MODIFIED", "1"), ("MODIFIED", "2"), ("DELETED", "2"),
    ]  # fmt: skip


@conformance("pod-qos-class")
def test_the_quality_of_a_pod_is_typed(python: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(python)
    amounts = {"cpu": "100m", "memory": "100Mi"}
    body = pod("guaranteed")
    body["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    made = core.create_namespaced_pod(namespace, body)
    assert made.status.qos_class == "Guaranteed"
    assert made.spec.containers[0].resources.limits == amounts
