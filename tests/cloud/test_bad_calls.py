"""Calls that cannot be: unknown names and odd values get the service's refusals, never a 500."""

from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from ekslab.cloud.calls import first
from ekslab.cloud.eks.service import OPERATIONS
from ekslab.cloud.gateway.routing import service_model
from tests.cloud.lab import FORM, VERSIONS, Lab

NO_GROUP = "AutoScalingGroup name not found - AutoScalingGroup none not found"
NO_MEMBER = "Instance Id not found - No managed instance found for instance ID: i-12345678"
ODD_VALUES = ("", "ü\x01<>&", "-1", "none")
FUZZED = [
    *(
        ("autoscaling", action)
        for action in (
            "AttachInstances",
            "CreateOrUpdateTags",
            "DeleteAutoScalingGroup",
            "DescribeAutoScalingGroups",
            "DescribeScheduledActions",
            "DescribeWarmPool",
            "EnableMetricsCollection",
            "PutScheduledUpdateGroupAction",
            "SetInstanceHealth",
            "SuspendProcesses",
        )
    ),
    *(
        ("ec2", action)
        for action in (
            "AssociateAddress",
            "AttachNetworkInterface",
            "CreateFleet",
            "CreateLaunchTemplate",
            "CreateRoute",
            "CreateTags",
            "DeleteNatGateway",
            "ModifyInstanceAttribute",
            "ModifyNetworkInterfaceAttribute",
            "ModifySecurityGroupRules",
            "RunInstances",
        )
    ),
    *(("iam", action) for action in ("CreateServiceLinkedRole", "ListRoles", "PutRolePolicy")),
    ("sts", "AssumeRole"),
]


def _refused(body: bytes) -> tuple[str, str]:
    return first(body.decode(), "Code"), first(body.decode(), "Message")


@pytest.mark.parametrize(
    ("action", "parameters", "message"),
    [
        ("SetDesiredCapacity", {"DesiredCapacity": 1}, NO_GROUP),
        ("UpdateAutoScalingGroup", {"MinSize": 1}, NO_GROUP),
        ("DeleteAutoScalingGroup", {}, NO_GROUP),
        ("SuspendProcesses", {}, NO_GROUP),
        ("EnableMetricsCollection", {"Granularity": "1Minute"}, NO_GROUP),
        ("DescribeWarmPool", {}, NO_GROUP),
    ],
)
async def test_a_group_that_is_not_there_is_named(
    lab: Lab, action: str, parameters: dict[str, Any], message: str
) -> None:
    answer = await lab.query("autoscaling", action, AutoScalingGroupName="none", **parameters)
    assert (answer.status, *_refused(answer.body)) == (400, "ValidationError", message)


async def test_an_instance_of_no_group_is_named(lab: Lab) -> None:
    answer = await lab.query(
        "autoscaling",
        "TerminateInstanceInAutoScalingGroup",
        InstanceId="i-12345678",
        ShouldDecrementDesiredCapacity="true",
    )
    assert (answer.status, *_refused(answer.body)) == (400, "ValidationError", NO_MEMBER)


async def test_a_capacity_stays_within_the_group(lab: Lab) -> None:
    await lab.query(
        "ec2",
        "CreateLaunchTemplate",
        LaunchTemplateName="t",
        LaunchTemplateData_ImageId="ami-12345678",
    )
    await lab.query(
        "autoscaling",
        "CreateAutoScalingGroup",
        AutoScalingGroupName="g",
        MinSize=0,
        MaxSize=1,
        LaunchTemplate_LaunchTemplateName="t",
        VPCZoneIdentifier=lab.cloud.account.private_subnets[0],
    )
    answer = await lab.query(
        "autoscaling", "SetDesiredCapacity", AutoScalingGroupName="g", DesiredCapacity=2
    )
    assert _refused(answer.body) == (
        "ValidationError",
        "New SetDesiredCapacity value 2 is above max value 1 for the AutoScalingGroup.",
    )


async def test_an_instance_without_a_subnet_starts_in_the_default_one(lab: Lab) -> None:
    answer = await lab.query(
        "ec2",
        "RunInstances",
        ImageId="ami-12345678",
        InstanceType="t3.micro",
        MinCount=1,
        MaxCount=1,
    )
    assert answer.status == 200
    assert first(answer.body.decode(), "privateIpAddress").startswith("172.31.")


def _filled(service: str, action: str, value: str) -> dict[str, str]:
    """Every scalar member of the request, and the first item of every list, set to `value`."""
    form: dict[str, str] = {}

    def fill(prefix: str, shape: Any, depth: int) -> None:
        if shape.type_name == "structure" and depth < 4:
            for name, member in shape.members.items():
                wire = member.serialization.get("name", name)
                wire = wire[:1].upper() + wire[1:] if service == "ec2" else wire
                fill(f"{prefix}.{wire}" if prefix else wire, member, depth + 1)
        elif shape.type_name == "list":
            fill(f"{prefix}.1" if service == "ec2" else f"{prefix}.member.1", shape.member, depth)
        elif shape.type_name not in {"structure", "map"}:
            form[prefix] = value

    fill("", service_model(service).operation_model(action).input_shape, 0)
    form.pop("DryRun", None)
    return form


@pytest.mark.parametrize(("service", "action"), FUZZED)
async def test_odd_values_are_refused_and_break_nothing(
    lab: Lab, service: str, action: str
) -> None:
    for value in ODD_VALUES:
        for form in (_filled(service, action, value), {}):
            body = urlencode({"Action": action, "Version": VERSIONS[service], **form}).encode()
            answer = await lab.send(service, "POST", "/", body=body, content_type=FORM)
            assert answer.status < 500, answer.body
            if answer.status >= 400:
                assert first(answer.body.decode(), "Code")
                assert b"Error(" not in answer.body  # nothing of Python's


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("GetParameter", {}, "ValidationException"),
        ("GetParameter", {"Name": 5}, "ValidationException"),
        ("GetParameters", {"Names": "x"}, "ValidationException"),
        ("GetParameter", [], "SerializationException"),
        ("GetParameter", {"Name": "none"}, "ParameterNotFound"),
    ],
)
async def test_json_services_check_members_by_the_model(
    lab: Lab, action: str, body: Any, code: str
) -> None:
    answer = await lab.send(
        "ssm",
        "POST",
        "/",
        body=orjson.dumps(body),
        content_type="application/x-amz-json-1.1",
        headers=(("X-Amz-Target", f"AmazonSSM.{action}"),),
    )
    assert answer.status == 400
    assert orjson.loads(answer.body)["__type"].endswith(code)


HOSTILE: tuple[Any, ...] = ("", 0, -1, 10**18, 1.5, True, [], {}, [None], [[]], "ü\0", "x" * 70_000)


async def test_eks_answers_hostile_bodies_with_errors_of_its_model(lab: Lab) -> None:
    await lab.active_cluster("dev", accessConfig={"authenticationMode": "API"})
    model = service_model("eks")
    assert model is not None
    for name in OPERATIONS:
        operation = model.operation_model(name)
        statuses = {
            shape.name: shape.metadata["error"]["httpStatusCode"]
            for shape in operation.error_shapes
        }
        # EKS gives it for every operation on a cluster, whatever the model says.
        statuses.setdefault("ResourceNotFoundException", 404)
        if operation.http["method"] not in {"POST", "PUT"} or operation.input_shape is None:
            continue
        path = operation.http["requestUri"].replace("{name}", "dev")
        path = path.replace("{clusterName}", "dev").replace("{", "").replace("}", "")
        for member in operation.input_shape.members:
            for value in HOSTILE:
                status, answer = await lab.eks(operation.http["method"], path, {member: value})
                if status != 200:
                    assert statuses.get(answer["code"]) == status, (name, member, answer)


async def test_a_page_token_of_nothing_is_refused(lab: Lab) -> None:
    for token in ("NQ==", "WzFd", "====", "%FF", "W10="):
        status, answer = await lab.eks("GET", "/clusters", query=f"nextToken={token}")
        assert (status, answer["code"]) == (400, "InvalidParameterException")
