"""What was written is handed to its readers as it is, not decoded again: it must be the same."""

import orjson

from ekslab.kube.api.ports import PatchType
from ekslab.kube.api.well_known import (
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    LEASES,
    NODES,
    PODS,
    REPLICA_SETS,
    SERVICES,
)
from ekslab.testing.cluster import TestCluster, run_virtual

_WRITTEN = (DEPLOYMENTS, ENDPOINT_SLICES, EVENTS, LEASES, NODES, PODS, REPLICA_SETS, SERVICES)
_TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "app", "image": "nginx", "ports": [{"containerPort": 80}]}]},
}


def assert_decoded_is_encoded(cluster: TestCluster) -> None:
    """Of every object, what readers in process see is what goes over the wire."""
    for resource in _WRITTEN:
        items = cluster.cluster.lister.list(resource)
        assert items, resource
        for item in items:
            assert item.object == orjson.loads(item.json()), item


def test_readers_in_process_see_what_is_on_the_wire() -> None:
    async def story(cluster: TestCluster) -> None:
        admin = cluster.admin
        meta = {"name": "web", "namespace": "default"}
        spec = {
            "replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": _TEMPLATE
        }  # fmt: skip
        kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
        await admin.create(DEPLOYMENTS, {**kind, "metadata": meta, "spec": spec})
        ports = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
        await admin.create(
            SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": ports}
        )
        await cluster.until(lambda: cluster.ready_pods() == 3)
        assert_decoded_is_encoded(cluster)
        labels = {"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 2}}
        for kind_of_patch in (PatchType.MERGE, PatchType.STRATEGIC):
            await admin.patch(DEPLOYMENTS, "web", "default", patch=labels, patch_type=kind_of_patch)
        await admin.patch(
            DEPLOYMENTS, "web", "default",
            patch={**kind, "metadata": {**meta, "labels": {"a": "c"}}},
            patch_type=PatchType.APPLY,
        )  # fmt: skip
        for pod in cluster.pods():
            await admin.delete(PODS, pod.name, "default")
        assert_decoded_is_encoded(cluster)
        await cluster.clock.sleep(60)
        assert_decoded_is_encoded(cluster)

    run_virtual(story, nodes=2)
