"""What moto answers and we write: the same as moto would have written it."""

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from moto.core import serialize

from ekslab.cloud.calls import first
from tests.cloud.lab import Lab

CALLS: list[tuple[str, str, dict[str, Any]]] = [
    *(
        ("ec2", action, {})
        for action in (
            "DescribeAccountAttributes",
            "DescribeAddresses",
            "DescribeAvailabilityZones",
            "DescribeDhcpOptions",
            "DescribeIamInstanceProfileAssociations",
            "DescribeImages",
            "DescribeInstanceStatus",
            "DescribeInstances",
            "DescribeInternetGateways",
            "DescribeLaunchTemplates",
            "DescribeNatGateways",
            "DescribeNetworkAcls",
            "DescribeNetworkInterfaces",
            "DescribeRegions",
            "DescribeRouteTables",
            "DescribeSecurityGroupRules",
            "DescribeSecurityGroups",
            "DescribeSubnets",
            "DescribeTags",
            "DescribeVolumes",
            "DescribeVpcs",
        )
    ),
    ("ec2", "DescribeInstanceTypes", {"InstanceType_1": "p5.48xlarge"}),
    ("ec2", "DescribeLaunchTemplateVersions", {"LaunchTemplateName": "t"}),
    ("autoscaling", "DescribeAutoScalingGroups", {}),
    ("autoscaling", "DescribeAutoScalingInstances", {}),
    ("autoscaling", "DescribeScalingActivities", {}),
    ("autoscaling", "DescribeTags", {}),
    ("iam", "GetAccountSummary", {}),
    ("iam", "GetInstanceProfile", {"InstanceProfileName": "ekslab-node-role"}),
    ("iam", "GetRole", {"RoleName": "ekslab-node-role"}),
    ("iam", "ListAttachedRolePolicies", {"RoleName": "ekslab-node-role"}),
    ("iam", "ListRoles", {}),
    ("iam", "ListUsers", {}),
]


async def _furnish(lab: Lab) -> None:
    """Something of every kind, with characters that XML must escape."""
    await lab.query(
        "ec2",
        "CreateLaunchTemplate",
        LaunchTemplateName="t",
        LaunchTemplateData_ImageId="ami-12345678",
        LaunchTemplateData_InstanceType="t3.medium",
    )
    await lab.query(
        "autoscaling",
        "CreateAutoScalingGroup",
        AutoScalingGroupName="g",
        MinSize=2,
        MaxSize=2,
        LaunchTemplate_LaunchTemplateName="t",
        VPCZoneIdentifier=",".join(lab.cloud.account.private_subnets),
        Tags_member_1_Key="a",
        Tags_member_1_Value="<&>",
    )
    await lab.query("ec2", "CreateVolume", Size=1, AvailabilityZone="us-east-1a")
    await lab.query(
        "ec2",
        "CreateTags",
        ResourceId_1=lab.cloud.account.vpc_id,
        Tag_1_Key="<a & b>",
        Tag_1_Value='"ü"',
    )


def _tree(body: bytes) -> Any:
    def walk(element: ET.Element) -> Any:
        if element.tag.rpartition("}")[2].lower() == "requestid":
            return element.tag
        return element.tag, element.text or "", [walk(child) for child in element]

    return walk(ET.fromstring(body))


async def test_answers_are_what_moto_would_have_written(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _furnish(lab)
    ours = [await lab.query(service, action, **more) for service, action, more in CALLS]
    assert {answer.status for answer in ours} == {200}
    monkeypatch.setattr(
        serialize.QuerySerializer,
        "_serialize_result",
        serialize.ResponseSerializer._serialize_result,
    )
    for (service, action, more), answer in zip(CALLS, ours, strict=True):
        theirs = await lab.query(service, action, **more)
        assert _tree(answer.body) == _tree(theirs.body), action


@pytest.mark.parametrize(
    ("service", "action", "tag"),
    [
        pytest.param("ec2", "DescribeVpcs", "requestId", id="EC2"),
        pytest.param("iam", "ListUsers", "RequestId", id="query"),
        pytest.param("ec2", "DescribeSubnets", "RequestID", id="EC2 error"),
    ],
)
async def test_a_request_has_one_id_in_header_and_body(
    lab: Lab, service: str, action: str, tag: str
) -> None:
    wrong = {"SubnetId_1": "subnet-00000000"} if action == "DescribeSubnets" else {}
    answer = await lab.query(service, action, **wrong)
    request_id = first(answer.body.decode(), tag)
    headers = {name.lower(): value for name, value in answer.headers}
    assert len(request_id) == 36
    assert headers["x-amzn-requestid"] == request_id
