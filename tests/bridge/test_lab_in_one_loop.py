"""EKS as a whole, on virtual time: what the account is asked for takes effect in Kubernetes."""

from collections.abc import Mapping
from typing import Any

import pytest

from ekslab.bridge.kubernetes_side import is_ready
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.well_known import CONFIG_MAPS, DAEMON_SETS, NODES, PODS
from ekslab.testing.cluster import TestCluster
from ekslab.testing.lab import TestLab, run_lab


def ready_nodes(cluster: TestCluster) -> list[str]:
    nodes = cluster.cluster.lister.list(NODES)
    return sorted(item.name for item in nodes if is_ready(item.object))


def pod(name: str, **spec: Any) -> Mapping[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "main", "image": "nginx"}], **spec},
    }


def test_a_node_group_becomes_nodes_in_three_zones_with_addresses_of_their_subnets() -> None:
    async def scenario(lab: TestLab) -> None:
        cluster = await lab.create_cluster("dev")
        await lab.create_nodegroup("dev", "a", 3, labels={"team": "x"})
        nodes = [item.object for item in cluster.cluster.lister.list(NODES)]
        zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}
        assert len(zones) == 3
        assert all(node["metadata"]["labels"]["team"] == "x" for node in nodes)
        assert all(not node["spec"].get("taints") for node in nodes)
        given = {one["PrivateDnsName"]: one["PrivateIpAddress"] for one in lab.instances("dev")}
        provided = "alpha.kubernetes.io/provided-node-ip"
        said = {n["metadata"]["name"]: n["metadata"]["annotations"] for n in nodes}
        assert {name: annotations[provided] for name, annotations in said.items()} == given
        assert {one["node.alpha.kubernetes.io/ttl"] for one in said.values()} == {"0"}

        await cluster.admin.create(PODS, dict(pod("web")))
        await cluster.until(lambda: cluster.ready_pods() == 1)
        address = cluster.pods()[0].object["status"]["podIP"]
        held = [
            row["PrivateIpAddress"]
            for _, interface in lab.bridge.mirror.all("ec2:network-interface")
            for row in interface["PrivateIpAddresses"]
            if not row["Primary"]
        ]
        assert address in held
        sets = cluster.cluster.lister.list(DAEMON_SETS, "kube-system")
        assert {item.name for item in sets} == {"aws-node", "kube-proxy"}

    run_lab(scenario)


def test_a_terminated_machine_takes_its_node_along_and_is_replaced() -> None:
    async def scenario(lab: TestLab) -> None:
        cluster = await lab.create_cluster("dev")
        await lab.create_nodegroup("dev", "a", 2)
        before = ready_nodes(cluster)
        victim = lab.instances("dev")[0]
        await lab.aws.query("ec2", "TerminateInstances", InstanceId=[victim["InstanceId"]])
        await lab.until(lambda: victim["PrivateDnsName"] not in _names(cluster))
        await lab.until(lambda: len(ready_nodes(cluster)) == 2)
        assert ready_nodes(cluster) != before

    run_lab(scenario)


def test_scaling_and_labels_of_a_group_reach_its_nodes() -> None:
    async def scenario(lab: TestLab) -> None:
        cluster = await lab.create_cluster("dev")
        await lab.create_nodegroup("dev", "a", 1)
        body = {
            "scalingConfig": {"minSize": 0, "desiredSize": 4, "maxSize": 10},
            "labels": {"addOrUpdateLabels": {"tier": "web"}},
            "taints": {"addOrUpdateTaints": [{"key": "k", "effect": "NO_SCHEDULE"}]},
        }
        await lab.aws.eks("POST", "/clusters/dev/node-groups/a/update-config", body)
        await lab.until(lambda: len(ready_nodes(cluster)) == 4)
        await lab.until(lambda: lab.described("eks:nodegroup", "dev/a")["status"] == "ACTIVE")
        for item in cluster.cluster.lister.list(NODES):
            assert item.labels["tier"] == "web"
            assert {"key": "k", "effect": "NoSchedule"} in item.object["spec"]["taints"]

    run_lab(scenario)


def test_deleting_a_group_and_a_cluster_leaves_nothing() -> None:
    async def scenario(lab: TestLab) -> None:
        await lab.create_cluster("dev")
        await lab.create_nodegroup("dev", "a", 2)
        await lab.aws.eks("DELETE", "/clusters/dev/node-groups/a")
        await lab.until(lambda: not lab.described("eks:nodegroup", "dev/a"))
        assert lab.instances("dev") == []
        await lab.aws.eks("DELETE", "/clusters/dev")
        await lab.until(lambda: not lab.described("eks:cluster", "dev"))
        assert lab.bridge.control_planes.get("dev") is None
        left = [
            interface["Description"]
            for _, interface in lab.bridge.mirror.all("ec2:network-interface")
            if interface["Description"].startswith(("aws-K8S", "Amazon EKS"))
        ]
        assert left == []

    run_lab(scenario)


def test_the_mode_decides_how_nodes_are_let_in() -> None:
    async def scenario(lab: TestLab) -> None:
        config_map = {"authenticationMode": "CONFIG_MAP"}
        cluster = await lab.create_cluster("old", accessConfig=config_map)
        await lab.create_nodegroup("old", "a", 1)
        aws_auth = await cluster.admin.get(CONFIG_MAPS, "aws-auth", "kube-system")
        assert "ekslab-node-role" in aws_auth["data"]["mapRoles"]
        modern = await lab.create_cluster("new", accessConfig={"authenticationMode": "API"})
        await lab.create_nodegroup("new", "a", 1)
        with pytest.raises(ApiError) as refused:
            await modern.admin.get(CONFIG_MAPS, "aws-auth", "kube-system")
        assert refused.value.code == 404

    run_lab(scenario)


def test_an_upgrade_keeps_what_the_cluster_holds() -> None:
    async def scenario(lab: TestLab) -> None:
        await lab.create_cluster("dev", version="1.35")
        await lab.aws.eks("POST", "/clusters/dev/updates", {"version": "1.36"})
        await lab.until(lambda: lab.described("eks:cluster", "dev")["version"] == "1.36")
        running = lab.bridge.control_planes.get("dev")
        assert running is not None
        assert running.cluster.git_version.startswith("v1.36.")

    run_lab(scenario)


def _names(cluster: TestCluster) -> set[str]:
    return {item.name for item in cluster.cluster.lister.list(NODES)}
