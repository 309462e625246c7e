"""Pages of EC2's lists, as EC2 gives them."""

import re
from itertools import chain
from typing import Any

import pytest

from ekslab.cloud.calls import first
from ekslab.cloud.ports import AwsResponse
from tests.cloud.lab import Lab


def _ids(answer: AwsResponse, tag: str) -> list[str]:
    return list(dict.fromkeys(re.findall(f"<{tag}>([^<]+)<", answer.body.decode())))


async def _pages(lab: Lab, action: str, tag: str, **parameters: Any) -> list[list[str]]:
    pages, token = [], {}
    while True:
        answer = await lab.query("ec2", action, **parameters, **token)
        assert answer.status == 200, answer.body
        pages.append(_ids(answer, tag))
        following = first(answer.body.decode(), "nextToken")
        if not following:
            return pages
        token = {"NextToken": following}


async def _run(lab: Lab, count: int) -> None:
    await lab.query(
        "ec2",
        "RunInstances",
        ImageId="ami-12345678",
        MinCount=count,
        MaxCount=count,
        InstanceType="t3.micro",
        SubnetId=lab.cloud.account.private_subnets[0],
    )


async def test_pages_of_subnets_hold_each_subnet_once(lab: Lab) -> None:
    (whole,) = await _pages(lab, "DescribeSubnets", "subnetId")
    pages = await _pages(lab, "DescribeSubnets", "subnetId", MaxResults=5)
    assert [len(page) for page in pages] == [5, 5, 2]
    assert list(chain(*pages)) == whole


async def test_pages_of_instances_count_instances_and_not_reservations(lab: Lab) -> None:
    await _run(lab, 7)
    await _run(lab, 5)
    pages = await _pages(lab, "DescribeInstances", "instanceId", MaxResults=5)
    assert [len(page) for page in pages] == [5, 5, 2]
    assert len(set(chain(*pages))) == 12


async def test_a_last_page_that_is_full_has_no_token(lab: Lab) -> None:
    await _run(lab, 5)
    assert len(await _pages(lab, "DescribeInstances", "instanceId", MaxResults=5)) == 1


async def test_more_launch_templates_than_moto_shows_are_listed(lab: Lab) -> None:
    for number in range(20):
        await lab.query(
            "ec2",
            "CreateLaunchTemplate",
            LaunchTemplateName=f"t{number}",
            LaunchTemplateData_ImageId="ami-12345678",
        )
    (whole,) = await _pages(lab, "DescribeLaunchTemplates", "launchTemplateId")
    assert len(whole) == 20


async def test_types_of_instances_come_a_hundred_at_a_time_with_what_clients_read(lab: Lab) -> None:
    pages = await _pages(lab, "DescribeInstanceTypes", "instanceType")
    assert {len(page) for page in pages[:-1]} == {100}
    names = list(chain(*pages))
    assert len(set(names)) == len(names) > 1000
    filtered = {
        "Filter_1_Name": "processor-info.supported-architecture",
        "Filter_1_Value_1": "arm64",
        "Filter_2_Name": "instance-type",
        "Filter_2_Value_1": "m7g.*",
        "Filter_3_Name": "bare-metal",
        "Filter_3_Value_1": "false",
    }
    answer = await lab.query("ec2", "DescribeInstanceTypes", **filtered)
    assert set(_ids(answer, "instanceType")) == {
        f"m7g.{size}"
        for size in (
            *("medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge"),
            "16xlarge",
        )
    }
    for tag in (
        *("defaultVCpus", "sizeInMiB", "ipv4AddressesPerInterface", "maximumNetworkInterfaces"),
        *("networkCards", "defaultNetworkCardIndex", "hypervisor", "supportedUsageClasses"),
        *("bareMetal", "currentGeneration", "ebsOptimizedInfo", "maximumBandwidthInMbps"),
    ):
        assert f"<{tag}>".encode() in answer.body


TOO_SMALL = "Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5."
BY_ID = "The parameter instancesSet cannot be used with the parameter maxResults"


@pytest.mark.parametrize(
    ("action", "parameters", "code", "message"),
    [
        pytest.param(
            "DescribeSubnets", {"MaxResults": 4}, "InvalidParameterValue", TOO_SMALL, id="small"
        ),
        pytest.param(
            "DescribeVpcs",
            {"MaxResults": 1001},
            "InvalidParameterValue",
            "less than 1000",
            id="big",
        ),
        pytest.param(
            "DescribeTags", {"MaxResults": "x"}, "InvalidParameterValue", "a number", id="no number"
        ),
        pytest.param(
            "DescribeSubnets",
            {"NextToken": "abc"},
            "InvalidParameterValue",
            "Value ( abc ) for parameter NextToken is invalid. The token is invalid.",
            id="token",
        ),
        pytest.param(
            "DescribeInstances",
            {"InstanceId_1": "i-00000000", "MaxResults": 5},
            "InvalidParameterCombination",
            BY_ID,
            id="pages of named instances",
        ),
    ],
)
async def test_wrong_pages_are_refused(
    lab: Lab, action: str, parameters: dict[str, Any], code: str, message: str
) -> None:
    answer = await lab.query("ec2", action, **parameters)
    text = answer.body.decode()
    assert (answer.status, first(text, "Code")) == (400, code)
    assert message in first(text, "Message")


async def test_a_token_is_good_for_its_operation_alone(lab: Lab) -> None:
    answer = await lab.query("ec2", "DescribeSubnets", MaxResults=5)
    token = first(answer.body.decode(), "nextToken")
    refused = await lab.query("ec2", "DescribeVpcs", NextToken=token)
    assert first(refused.body.decode(), "Code") == "InvalidParameterValue"
