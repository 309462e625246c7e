"""Clients that know nothing of us: the Kubernetes Python client and boto3, as their users do."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

from tests.e2e.lab import Lab
from tests.e2e.wire import aws

NAMESPACE = "foreign"


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[client.ApiClient]:
    """The Python client, logged in by the kubeconfig's exec plugin."""
    with pytest.MonkeyPatch.context() as environment:
        # The plugin inherits our environment, where moto, if it ran here, has left keys of its own.
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            environment.delenv(name)
        made = config.new_client_from_config(config_file=lab.environment["KUBECONFIG"])
        core = client.CoreV1Api(made)
        core.create_namespace({"metadata": {"name": NAMESPACE}})
        yield made
        core.delete_namespace(NAMESPACE)
        made.close()


def deployment(name: str, replicas: int) -> client.V1Deployment:
    labels = {"app": name}
    container = client.V1Container(
        name="main",
        image="nginx",
        ports=[client.V1ContainerPort(container_port=80)],
        resources=client.V1ResourceRequirements(requests={"cpu": "10m", "memory": "16Mi"}),
    )
    return client.V1Deployment(
        metadata=client.V1ObjectMeta(name=name),
        spec=client.V1DeploymentSpec(
            replicas=replicas,
            selector=client.V1LabelSelector(match_labels=labels),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels),
                spec=client.V1PodSpec(containers=[container]),
            ),
        ),
    )


def test_objects_are_made_read_changed_and_deleted(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    made = core.create_namespaced_config_map(
        NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="one"), data={"a": "1"})
    )
    assert made.metadata.uid
    made.data["b"] = "2"
    replaced = core.replace_namespaced_config_map("one", NAMESPACE, made)
    assert replaced.data == {"a": "1", "b": "2"}
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("one", NAMESPACE, made)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")
    patched = core.patch_namespaced_config_map("one", NAMESPACE, {"data": {"a": None}})
    assert patched.data == {"b": "2"}
    patched = core.patch_namespaced_config_map(
        "one", NAMESPACE, [{"op": "replace", "path": "/data/b", "value": "3"}]
    )
    assert core.read_namespaced_config_map("one", NAMESPACE).data == {"b": "3"}
    listed = core.list_namespaced_config_map(NAMESPACE, field_selector="metadata.name=one")
    assert [item.metadata.name for item in listed.items] == ["one"]
    assert core.delete_namespaced_config_map("one", NAMESPACE)["status"] == "Success"
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("one", NAMESPACE)
    assert gone.value.status == 404
    assert '"configmaps \\"one\\" not found"' in gone.value.body


def test_a_deployment_is_watched_until_it_is_available(lab: Lab, api: client.ApiClient) -> None:
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    apps.create_namespaced_deployment(NAMESPACE, deployment("watched", 2))
    seen = []
    for event in watch.Watch().stream(
        apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=60
    ):
        seen.append(event["type"])
        if (event["object"].status.available_replicas or 0) == 2:
            break
    assert seen[0] == "ADDED"
    assert "MODIFIED" in seen
    scale = apps.read_namespaced_deployment_scale("watched", NAMESPACE)
    scale.spec.replicas = 3
    assert apps.replace_namespaced_deployment_scale("watched", NAMESPACE, scale).spec.replicas == 3
    for event in watch.Watch().stream(
        core.list_namespaced_pod, NAMESPACE, label_selector="app=watched", timeout_seconds=60
    ):
        seen.append(event["object"].metadata.name)
        if len({name for name in seen if name.startswith("watched-")}) == 3:
            break
    pod = core.list_namespaced_pod(NAMESPACE, label_selector="app=watched", limit=1)
    assert pod.metadata._continue
    rest = core.list_namespaced_pod(
        NAMESPACE, label_selector="app=watched", _continue=pod.metadata._continue
    )
    assert len(pod.items) + len(rest.items) == 3
    name = pod.items[0].metadata.name
    lab.eventually(lambda: core.read_namespaced_pod(name, NAMESPACE).status.phase == "Running")
    assert isinstance(core.read_namespaced_pod_log(name, NAMESPACE), str)
    apps.delete_namespaced_deployment("watched", NAMESPACE, propagation_policy="Foreground")


def test_the_dynamic_client_finds_its_way_by_discovery(api: client.ApiClient) -> None:
    found = dynamic.DynamicClient(api)
    roles = found.resources.get(api_version="rbac.authorization.k8s.io/v1", kind="Role")
    body = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    assert roles.create(body=body, namespace=NAMESPACE).metadata.name == "reader"
    applied = roles.server_side_apply(
        body={**body, "metadata": {"name": "reader", "labels": {"a": "b"}}},
        namespace=NAMESPACE,
        field_manager="foreigner",
    )
    assert applied.metadata.labels.a == "b"
    assert [role.metadata.name for role in roles.get(namespace=NAMESPACE).items] == ["reader"]
    for event in roles.watch(namespace=NAMESPACE, timeout=1):
        assert event["object"].metadata.name == "reader"
        break
    roles.delete(name="reader", namespace=NAMESPACE)
    with pytest.raises(dynamic.exceptions.NotFoundError):
        roles.get(name="reader", namespace=NAMESPACE)
    with pytest.raises(dynamic.exceptions.ResourceNotFoundError):
        found.resources.get(api_version="nope.io/v1", kind="Nope")


def test_refusals_carry_upstreams_status(api: client.ApiClient) -> None:
    core = client.CoreV1Api(api)
    pod: dict[str, Any] = {
        "metadata": {"name": "Bad Name"},
        "spec": {"containers": [{"name": "main", "image": "nginx"}]},
    }
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_pod(NAMESPACE, pod)
    assert (refused.value.status, refused.value.reason) == (422, "Unprocessable Entity")
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_pod("nowhere", {**pod, "metadata": {"name": "good"}})
    assert (refused.value.status, refused.value.reason) == (404, "Not Found")
    assert 'namespaces \\"nowhere\\" not found' in refused.value.body


def test_versions_and_apis_are_known(api: client.ApiClient) -> None:
    assert client.VersionApi(api).get_code().git_version.startswith("v1.")
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "batch", "rbac.authorization.k8s.io"} <= groups
    review = client.AuthorizationV1Api(api).create_self_subject_access_review(
        {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods"}}}
    )
    assert review.status.allowed is True


def test_boto3_pages_through_what_it_lists(lab: Lab) -> None:
    iam = aws(lab, "iam")
    names = {f"page-{number}" for number in range(7)}
    for name in names:
        iam.create_group(GroupName=name)
    pages = list(iam.get_paginator("list_groups").paginate(PaginationConfig={"PageSize": 3}))
    assert names <= {group["GroupName"] for page in pages for group in page["Groups"]}
    subnets = aws(lab, "ec2").get_paginator("describe_subnets")
    pages = list(subnets.paginate(PaginationConfig={"PageSize": 5}))
    found = [subnet["SubnetId"] for page in pages for subnet in page["Subnets"]]
    assert len(found) == len(set(found)) >= 6
    clusters = aws(lab, "eks").get_paginator("list_clusters").paginate()
    assert clusters.build_full_result()["clusters"] == ["lab"]


def test_boto3_waits_by_its_waiters(lab: Lab) -> None:
    eks, ec2 = aws(lab, "eks"), aws(lab, "ec2")
    eks.get_waiter("cluster_active").wait(name="lab")
    group = eks.list_nodegroups(clusterName="lab")["nodegroups"][0]
    eks.get_waiter("nodegroup_active").wait(clusterName="lab", nodegroupName=group)
    nodes = eks.describe_nodegroup(clusterName="lab", nodegroupName=group)["nodegroup"]
    assert nodes["status"] == "ACTIVE"
    running = ec2.describe_instances(
        Filters=[{"Name": "tag:eks:nodegroup-name", "Values": [group]}]
    )
    ids = [i["InstanceId"] for r in running["Reservations"] for i in r["Instances"]]
    assert len(ids) == nodes["scalingConfig"]["desiredSize"]
    ec2.get_waiter("instance_running").wait(InstanceIds=ids)
    eks.get_waiter("cluster_deleted").wait(name="never-was")
    with pytest.raises(WaiterError, match='matched expected path: "ACTIVE"'):
        eks.get_waiter("cluster_deleted").wait(name="lab")


def test_boto3_raises_its_own_error_classes(lab: Lab) -> None:
    eks, iam, sts = (aws(lab, name) for name in ("eks", "iam", "sts"))
    with pytest.raises(eks.exceptions.ResourceNotFoundException) as missing:
        eks.describe_cluster(name="nope")
    assert missing.value.response["Error"]["Message"] == "No cluster found for name: nope."
    assert missing.value.response["clusterName"] == "nope"
    assert missing.value.response["ResponseMetadata"]["RequestId"]
    cluster = eks.describe_cluster(name="lab")["cluster"]
    with pytest.raises(eks.exceptions.ResourceInUseException):
        eks.create_cluster(
            name="lab",
            roleArn=cluster["roleArn"],
            resourcesVpcConfig={"subnetIds": cluster["resourcesVpcConfig"]["subnetIds"]},
        )
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="nope")
    with pytest.raises(ClientError) as denied:
        sts.assume_role(RoleArn="arn:aws:iam::123456789012:role/nope", RoleSessionName="me")
    assert denied.value.response["Error"]["Code"] == "AccessDenied"
    with pytest.raises(ClientError) as unknown:
        aws(
            lab, "sts", aws_access_key_id="AKIAAAAAAAAAAAAAAAAA", aws_secret_access_key="x"
        ).get_caller_identity()
    assert unknown.value.response["Error"]["Code"] == "InvalidClientTokenId"


def test_boto3_uses_the_session_of_a_role(lab: Lab) -> None:
    iam, sts = aws(lab, "iam"), aws(lab, "sts")
    trust = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",'
        ' "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}]}'
    )
    role = iam.create_role(RoleName="visitor", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    given = sts.assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    keys = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    me = aws(lab, "sts", **keys).get_caller_identity()["Arn"]
    assert me == "arn:aws:sts::123456789012:assumed-role/visitor/me"
    with pytest.raises(ClientError) as denied:
        aws(lab, "eks", **keys).list_clusters()
    assert denied.value.response["Error"]["Code"] == "AccessDeniedException"
