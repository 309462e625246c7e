"""The EKS API: states, defaults, side effects, and the words of its refusals."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from ekslab.cloud.gateway.routing import rest_router, service_model
from ekslab.cloud.ports import Change
from tests.cloud.lab import Lab


async def test_a_cluster_walks_from_creating_to_gone(lab: Lab) -> None:
    status, made = await lab.eks("POST", "/clusters", lab.cluster_body("dev"))
    assert (status, made["cluster"]["status"]) == (200, "CREATING")
    await lab.report_cluster("dev", "ACTIVE")
    _, seen = await lab.eks("GET", "/clusters/dev")
    cluster = seen["cluster"]
    assert cluster["status"] == "ACTIVE"
    assert cluster["endpoint"] == "https://127.0.0.1:6443"
    assert cluster["certificateAuthority"] == {"data": "UEVN"}
    assert cluster["identity"]["oidc"]["issuer"].startswith("https://oidc.eks.us-east-1.")
    _, gone = await lab.eks("DELETE", "/clusters/dev")
    assert gone["cluster"]["status"] == "DELETING"
    await lab.report_cluster("dev", "DELETED")
    status, error = await lab.eks("GET", "/clusters/dev")
    assert (status, error["code"]) == (404, "ResourceNotFoundException")
    assert error["message"] == "No cluster found for name: dev."
    left = await lab.query("ec2", "DescribeNetworkInterfaces")
    assert "Amazon EKS dev" not in left.body.decode()


async def test_defaults_of_a_cluster_are_those_of_eks(lab: Lab) -> None:
    _, made = await lab.eks("POST", "/clusters", lab.cluster_body())
    cluster = made["cluster"]
    assert cluster["version"] == "1.34"
    assert cluster["platformVersion"] == "eks.1"
    assert cluster["kubernetesNetworkConfig"]["serviceIpv4Cidr"] == "172.20.0.0/16"
    assert cluster["accessConfig"]["authenticationMode"] == "CONFIG_MAP"
    assert cluster["resourcesVpcConfig"]["endpointPublicAccess"] is True
    assert cluster["resourcesVpcConfig"]["publicAccessCidrs"] == ["0.0.0.0/0"]
    assert cluster["logging"]["clusterLogging"][0]["enabled"] is False


async def test_a_cluster_brings_its_security_group_and_interfaces(lab: Lab) -> None:
    _, made = await lab.eks("POST", "/clusters", lab.cluster_body("dev"))
    group = made["cluster"]["resourcesVpcConfig"]["clusterSecurityGroupId"]
    groups = (await lab.query("ec2", "DescribeSecurityGroups", GroupId_1=group)).body.decode()
    assert "<groupName>eks-cluster-sg-dev-" in groups
    interfaces = (await lab.query("ec2", "DescribeNetworkInterfaces")).body.decode()
    assert interfaces.count("<description>Amazon EKS dev</description>") == 2


def _vpc(lab: Lab, **changes: Any) -> dict[str, Any]:
    config = {"subnetIds": list(lab.cloud.account.private_subnets), **changes}
    return {"resourcesVpcConfig": config}


BAD_CLUSTERS = [
    pytest.param(lambda _: {"name": "-bad"}, "failed to satisfy constraint", id="name pattern"),
    pytest.param(lambda _: {"name": "x" * 101}, "length less than or equal to 100", id="long name"),
    pytest.param(lambda _: {"roleArn": None}, "Value null at 'roleArn'", id="no role"),
    pytest.param(lambda _: {"roleArn": "x"}, "Invalid Role Arn: 'x'", id="role syntax"),
    pytest.param(
        lambda _: {"roleArn": "arn:aws:iam::123456789012:role/none"},
        "could not be assumed because it does not exist",
        id="role missing",
    ),
    pytest.param(
        lambda lab: {"roleArn": lab.cloud.account.node_role_arn},
        "the trusted entity is not correct",
        id="role of another service",
    ),
    pytest.param(lambda _: {"version": "1.9"}, "unsupported Kubernetes version", id="version"),
    pytest.param(
        lambda lab: _vpc(lab, subnetIds=["subnet-1", "subnet-2"]),
        "The subnet ID 'subnet-1' does not exist",
        id="subnet missing",
    ),
    pytest.param(
        lambda lab: _vpc(lab, subnetIds=lab.cloud.account.private_subnets[:1]),
        "at least two different AZs",
        id="one zone",
    ),
    pytest.param(
        lambda lab: _vpc(lab, endpointPublicAccess=False),
        "Private and public endpoint access cannot be false",
        id="no endpoint",
    ),
    pytest.param(
        lambda lab: _vpc(lab, securityGroupIds=["sg-1"]), "'sg-1' does not exist", id="no group"
    ),
    pytest.param(
        lambda _: {"kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.0.0.0/16"}},
        "overlaps with the CIDR block of the VPC",
        id="service range overlaps",
    ),
    pytest.param(
        lambda _: {"kubernetesNetworkConfig": {"serviceIpv4Cidr": "8.8.0.0/16"}},
        "private ranges",
        id="service range public",
    ),
    pytest.param(lambda _: {"tags": "no"}, "Invalid type for 'tags'", id="type"),
    pytest.param(
        lambda _: {"accessConfig": {"authenticationMode": "NONE"}}, "enum value set", id="enum"
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD_CLUSTERS)
async def test_a_bad_cluster_is_refused_and_leaves_nothing(
    lab: Lab, change: Any, message: str
) -> None:
    status, error = await lab.eks("POST", "/clusters", lab.cluster_body(**change(lab)))
    assert (status, error["code"]) == (400, "InvalidParameterException")
    assert message in error["message"]
    assert (await lab.eks("GET", "/clusters"))[1]["clusters"] == []
    groups = (await lab.query("ec2", "DescribeSecurityGroups")).body.decode()
    assert "eks-cluster-sg" not in groups


async def test_bodies_that_are_no_objects_are_refused(lab: Lab) -> None:
    for body in (b"{", b"[]", b"\xff"):
        answer = await lab.send("eks", "POST", "/clusters", body=body)
        assert answer.status == 400
        assert dict(answer.headers)["x-amzn-ErrorType"] == "SerializationException"


async def test_unknown_members_are_ignored(lab: Lab) -> None:
    status, _ = await lab.eks("POST", "/clusters", lab.cluster_body(notInTheModel={"a": 1}))
    assert status == 200


async def test_a_name_is_taken_once(lab: Lab) -> None:
    await lab.eks("POST", "/clusters", lab.cluster_body("dev"))
    status, error = await lab.eks("POST", "/clusters", lab.cluster_body("dev"))
    assert (status, error["code"]) == (409, "ResourceInUseException")
    assert error["message"] == "Cluster already exists with name: dev"


async def test_a_repeated_token_makes_one_cluster(lab: Lab) -> None:
    body = lab.cluster_body("dev", clientRequestToken="t1")
    _, one = await lab.eks("POST", "/clusters", body)
    _, again = await lab.eks("POST", "/clusters", body)
    assert again["cluster"] == one["cluster"]
    status, error = await lab.eks(
        "POST", "/clusters", {**body, "version": "1.33", "clientRequestToken": "t1"}
    )
    assert (status, error["code"]) == (400, "InvalidParameterException")


async def test_lists_come_in_pages(lab: Lab) -> None:
    for name in ("a", "b", "c"):
        await lab.eks("POST", "/clusters", lab.cluster_body(name))
    _, page = await lab.eks("GET", "/clusters", query="maxResults=2")
    assert page["clusters"] == ["a", "b"]
    _, rest = await lab.eks(
        "GET", "/clusters", query=f"maxResults=2&nextToken={quote(page['nextToken'])}"
    )
    assert rest["clusters"] == ["c"]
    assert "nextToken" not in rest
    status, error = await lab.eks("GET", "/clusters", query="nextToken=forged")
    assert (status, error["code"]) == (400, "InvalidParameterException")
    for many in ("101", "9" * 5_000):
        status, _ = await lab.eks("GET", "/clusters", query=f"maxResults={many}")
        assert status == 400


async def test_every_operation_of_the_model_is_known_and_routed() -> None:
    model = service_model("eks")
    assert model is not None
    for name in model.operation_names:
        http = model.operation_model(name).http
        path = http["requestUri"].replace("{", "").replace("}", "")
        found = rest_router("eks").find(http["method"], path, "")
        assert found is not None, name
        assert found.operation == name


async def test_an_operation_that_is_not_served_says_so(lab: Lab) -> None:
    body = {"fargateProfileName": "f", "podExecutionRoleArn": "r"}
    status, error = await lab.eks("POST", "/clusters/dev/fargate-profiles", body)
    assert (status, error["code"]) == (400, "InvalidRequestException")
    assert (
        "CreateFargateProfile is an operation of EKS that ekslab does not serve" in error["message"]
    )


async def test_a_node_group_walks_its_states_and_holds_its_cluster(lab: Lab) -> None:
    await lab.active_cluster(accessConfig={"authenticationMode": "API_AND_CONFIG_MAP"})
    status, made = await lab.eks("POST", "/clusters/dev/node-groups", lab.group_body())
    group = made["nodegroup"]
    assert (status, group["status"]) == (200, "CREATING")
    assert group["instanceTypes"] == ["t3.medium"]
    assert group["amiType"] == "AL2023_x86_64_STANDARD"
    assert group["diskSize"] == 20
    assert group["updateConfig"] == {"maxUnavailable": 1}
    _, entries = await lab.eks("GET", "/clusters/dev/access-entries")
    assert lab.cloud.account.node_role_arn in entries["accessEntries"]
    status, error = await lab.eks("DELETE", "/clusters/dev")
    assert (status, error["message"]) == (409, "Cluster has nodegroups attached")
    await lab.report_group("dev", "a", "ACTIVE")
    scaling = {"scalingConfig": {"desiredSize": 5}}
    _, begun = await lab.eks("POST", "/clusters/dev/node-groups/a/update-config", scaling)
    assert begun["update"]["status"] == "InProgress"
    _, seen = await lab.eks("GET", "/clusters/dev/node-groups/a")
    assert seen["nodegroup"]["status"] == "UPDATING"
    assert seen["nodegroup"]["scalingConfig"] == {"minSize": 1, "maxSize": 5, "desiredSize": 5}
    await lab.report_group("dev", "a", "ACTIVE")
    path = f"/clusters/dev/updates/{begun['update']['id']}"
    _, update = await lab.eks("GET", path, query="nodegroupName=a")
    assert update["update"]["status"] == "Successful"
    await lab.eks("DELETE", "/clusters/dev/node-groups/a")
    await lab.report_group("dev", "a", "DELETED")
    status, error = await lab.eks("GET", "/clusters/dev/node-groups/a")
    assert (status, error["message"]) == (404, "No node group found for name: a.")
    _, entries = await lab.eks("GET", "/clusters/dev/access-entries")
    assert lab.cloud.account.node_role_arn not in entries["accessEntries"]


BAD_GROUPS = [
    pytest.param(
        {"scalingConfig": {"minSize": 3, "maxSize": 5, "desiredSize": 2}},
        "Minimum capacity 3 can't be greater than desired size 2",
        id="min over desired",
    ),
    pytest.param(
        {"scalingConfig": {"minSize": 1, "maxSize": 2, "desiredSize": 3}},
        "desired capacity 3 can't be greater than max size 2",
        id="desired over max",
    ),
    pytest.param({"subnets": ["subnet-1"]}, "'subnet-1' does not exist", id="subnet"),
    pytest.param({"nodeRole": "arn:aws:iam::1:role/x"}, "cannot be found", id="role"),
    pytest.param({"instanceTypes": ["x9.huge"]}, "do not exist: [x9.huge]", id="type"),
    pytest.param(
        {"instanceTypes": ["t4g.medium"], "amiType": "AL2023_x86_64_STANDARD"},
        "[t4g.medium] is not a valid instance type for requested amiType AL2023_x86_64_STANDARD",
        id="architecture",
    ),
    pytest.param({"labels": {"eks.amazonaws.com/x": "y"}}, "reserved prefixes", id="label"),
    pytest.param(
        {"launchTemplate": {"id": "lt-1"}, "diskSize": 30},
        "Disk size must be specified within the launch template.",
        id="disk and template",
    ),
    pytest.param({"version": "1.35"}, "is not supported with cluster version", id="newer"),
    pytest.param(
        {"updateConfig": {"maxUnavailable": 1, "maxUnavailablePercentage": 10}},
        "Only one of maxUnavailable",
        id="update config",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD_GROUPS)
async def test_a_bad_node_group_is_refused(lab: Lab, change: Any, message: str) -> None:
    await lab.active_cluster()
    body = lab.group_body(**change)
    status, error = await lab.eks("POST", "/clusters/dev/node-groups", body)
    assert (status, error["code"]) == (400, "InvalidParameterException")
    assert message in error["message"]
    assert (await lab.eks("GET", "/clusters/dev/node-groups"))[1]["nodegroups"] == []


async def test_a_cluster_that_is_not_active_takes_no_node_group(lab: Lab) -> None:
    await lab.eks("POST", "/clusters", lab.cluster_body("dev"))
    status, error = await lab.eks("POST", "/clusters/dev/node-groups", lab.group_body())
    assert (status, error["message"]) == (400, "Cluster 'dev' is not in ACTIVE status")
    status, error = await lab.eks("POST", "/clusters/none/node-groups", lab.group_body())
    assert (status, error["message"]) == (404, "No cluster found for name: none.")


async def test_a_version_goes_up_by_one(lab: Lab) -> None:
    await lab.active_cluster(version="1.33")
    for version, message in (
        ("1.35", "Unsupported Kubernetes minor version update from 1.33 to 1.35"),
        ("1.33", "Cluster is already at version: 1.33"),
    ):
        status, error = await lab.eks("POST", "/clusters/dev/updates", {"version": version})
        assert (status, error["message"]) == (400, message)
    _, begun = await lab.eks("POST", "/clusters/dev/updates", {"version": "1.34"})
    _, seen = await lab.eks("GET", "/clusters/dev")
    assert (seen["cluster"]["status"], seen["cluster"]["version"]) == ("UPDATING", "1.33")
    status, error = await lab.eks("POST", "/clusters/dev/updates", {"version": "1.34"})
    assert (status, error["code"]) == (409, "ResourceInUseException")
    await lab.report_cluster("dev", "ACTIVE")
    _, seen = await lab.eks("GET", "/clusters/dev")
    assert (seen["cluster"]["status"], seen["cluster"]["version"]) == ("ACTIVE", "1.34")
    _, update = await lab.eks("GET", f"/clusters/dev/updates/{begun['update']['id']}")
    assert update["update"]["status"] == "Successful"
    assert {"type": "Version", "value": "1.34"} in update["update"]["params"]


async def test_config_changes_come_one_at_a_time(lab: Lab) -> None:
    await lab.active_cluster()
    logs = {"clusterLogging": [{"types": ["api"], "enabled": True}]}
    both = {"logging": logs, "deletionProtection": True}
    status, error = await lab.eks("POST", "/clusters/dev/update-config", both)
    assert (status, error["message"]) == (400, "Only one type of update can be allowed.")
    status, begun = await lab.eks("POST", "/clusters/dev/update-config", {"logging": logs})
    assert (status, begun["update"]["type"]) == (200, "LoggingUpdate")
    await lab.eks("POST", "/clusters/dev/update-config", {"deletionProtection": True})
    status, error = await lab.eks("DELETE", "/clusters/dev")
    assert (status, error["code"]) == (400, "InvalidRequestException")


async def test_the_creator_gets_an_entry_where_there_are_entries(lab: Lab) -> None:
    await lab.active_cluster("old")
    status, error = await lab.eks("GET", "/clusters/old/access-entries")
    assert (status, error["code"]) == (400, "InvalidRequestException")
    await lab.active_cluster("new", accessConfig={"authenticationMode": "API"})
    _, listed = await lab.eks("GET", "/clusters/new/access-entries")
    me = f"arn:aws:iam::{lab.cloud.config.account_id}:user/ekslab"
    assert listed["accessEntries"] == [me]
    path = f"/clusters/new/access-entries/{quote(me, safe='')}"
    _, entry = await lab.eks("GET", path)
    assert (entry["accessEntry"]["username"], entry["accessEntry"]["type"]) == (me, "STANDARD")
    _, policies = await lab.eks("GET", f"{path}/access-policies")
    assert [p["policyArn"].rpartition("/")[2] for p in policies["associatedAccessPolicies"]] == [
        "AmazonEKSClusterAdminPolicy"
    ]


async def test_modes_only_go_forward(lab: Lab) -> None:
    await lab.active_cluster()
    for mode, expected in (
        ("API", 400),
        ("API_AND_CONFIG_MAP", 200),
        ("API", 200),
        ("CONFIG_MAP", 400),
    ):
        body = {"accessConfig": {"authenticationMode": mode}}
        status, _ = await lab.eks("POST", "/clusters/dev/update-config", body)
        assert status == expected, mode


BAD_ENTRIES = [
    pytest.param({"principalArn": "arn:aws:sts::1:assumed-role/a/b"}, "invalid", id="session"),
    pytest.param({"username": "system:me"}, "cannot begin with", id="reserved name"),
    pytest.param({"username": "{{SessionName}}"}, "must precede", id="bare session name"),
    pytest.param({"kubernetesGroups": ["system:masters"]}, "system:", id="system group"),
    pytest.param({"type": "EC2_LINUX", "username": "x"}, "cannot be set", id="node with name"),
    pytest.param({"type": "MARTIAN"}, "MARTIAN", id="type"),
]


@pytest.mark.parametrize(("change", "message"), BAD_ENTRIES)
async def test_a_bad_access_entry_is_refused(
    lab: Lab, change: dict[str, Any], message: str
) -> None:
    await lab.active_cluster(accessConfig={"authenticationMode": "API"})
    body = {"principalArn": lab.cloud.account.node_role_arn, **change}
    status, error = await lab.eks("POST", "/clusters/dev/access-entries", body)
    assert (status, error["code"]) == (400, "InvalidParameterException")
    assert message in error["message"]


async def test_policies_are_associated_with_a_scope(lab: Lab) -> None:
    await lab.active_cluster(accessConfig={"authenticationMode": "API"})
    role = lab.cloud.account.cluster_role_arn
    await lab.eks("POST", "/clusters/dev/access-entries", {"principalArn": role})
    path = f"/clusters/dev/access-entries/{quote(role, safe='')}/access-policies"
    arn = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
    bad = {"policyArn": arn, "accessScope": {"type": "namespace"}}
    assert (await lab.eks("POST", path, bad))[0] == 400
    good = {"policyArn": arn, "accessScope": {"type": "namespace", "namespaces": ["dev-*"]}}
    assert (await lab.eks("POST", path, good))[0] == 200
    _, listed = await lab.eks("GET", path)
    scope = {"type": "namespace", "namespaces": ["dev-*"]}
    assert listed["associatedAccessPolicies"][0]["accessScope"] == scope
    assert (await lab.eks("DELETE", f"{path}/{quote(arn, safe='')}"))[0] == 200
    assert (await lab.eks("DELETE", f"{path}/{quote(arn, safe='')}"))[0] == 404


async def test_tags_have_errors_of_their_own(lab: Lab) -> None:
    _, made = await lab.eks("POST", "/clusters", lab.cluster_body("dev", tags={"a": "1"}))
    arn = made["cluster"]["arn"]
    for raw in (quote(arn, safe=""), arn):
        assert (await lab.eks("GET", f"/tags/{raw}"))[1]["tags"] == {"a": "1"}
    await lab.eks("POST", f"/tags/{quote(arn, safe='')}", {"tags": {"b": "2"}})
    await lab.eks("DELETE", f"/tags/{quote(arn, safe='')}", query="tagKeys=a")
    assert (await lab.eks("GET", "/clusters/dev"))[1]["cluster"]["tags"] == {"b": "2"}
    status, error = await lab.eks("GET", f"/tags/{quote(arn + 'x', safe='')}")
    assert (status, error["code"]) == (404, "NotFoundException")


async def test_versions_are_listed_newest_first(lab: Lab) -> None:
    _, listed = await lab.eks("GET", "/cluster-versions")
    rows = [(row["clusterVersion"], row["defaultVersion"]) for row in listed["clusterVersions"]]
    assert rows == [("1.35", False), ("1.34", True), ("1.33", False)]


async def _next(feed: Any) -> list[Change]:
    return list(await asyncio.wait_for(anext(feed), 5))


async def test_the_feed_tells_everything_and_then_every_change(lab: Lab) -> None:
    feed = lab.cloud.feed.follow()
    snapshot = await _next(feed)
    assert (snapshot[0].kind, snapshot[-1].kind) == ("reset", "synced")
    kinds = {change.kind for change in snapshot}
    assert {"ec2:subnet", "iam:role", "iam:user"} <= kinds
    await lab.active_cluster(accessConfig={"authenticationMode": "API"})
    seen: list[Change] = []
    while not any(
        c.kind == "eks:cluster" and c.value and c.value["status"] == "ACTIVE" for c in seen
    ):
        seen += await _next(feed)
    assert [c.position for c in seen] == list(range(seen[0].position, seen[0].position + len(seen)))
    entry = next(c.value for c in seen if c.kind == "eks:access-entry")
    assert entry is not None
    assert entry["principalId"].startswith("AIDA")
    resumed = lab.cloud.feed.follow(after=seen[0].position)
    assert [change.kind for change in await _next(resumed)] == ["synced"]
    assert await _next(resumed) == seen[1:]
    stale = lab.cloud.feed.follow(after=17)
    assert (await _next(stale))[0].kind == "reset"
    for one in (feed, resumed, stale):
        await one.aclose()
