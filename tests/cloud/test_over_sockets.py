"""Foreign clients over loopback: boto3 at the AWS endpoint, HTTP at the inside door."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import botocore.exceptions
import pytest

from ekslab.cloud.served import CloudApp
from ekslab.kit.clock import WallClock
from ekslab.kit.serving import AsgiServer, tcp_listener, unix_listener
from tests.cloud.lab import REGION, Lab

EKS_AMIS = "/aws/service/eks/optimized-ami"
Client = Callable[[str], Any]


@pytest.fixture
async def aws(lab: Lab) -> AsyncIterator[Client]:
    lab.wall.now_s = WallClock().now()
    server = AsgiServer(lab.cloud.asgi, tcp_listener("127.0.0.1", 0))
    await server.start()
    session = boto3.Session(
        aws_access_key_id=lab.keys.access_key_id,
        aws_secret_access_key=lab.keys.secret_access_key,
        region_name=REGION,
    )
    with contextlib.ExitStack() as clients:

        def make(service: str) -> Any:
            client = session.client(service, endpoint_url=f"http://127.0.0.1:{server.port}")
            clients.callback(client.close)
            return client

        yield make
    await server.stop()


async def test_boto3_walks_a_cluster_through_its_life(lab: Lab, aws: Client) -> None:
    eks, account = aws("eks"), lab.cloud.account

    def make() -> str:
        made = eks.create_cluster(
            name="dev",
            roleArn=account.cluster_role_arn,
            resourcesVpcConfig={"subnetIds": list(account.private_subnets)},
            accessConfig={"authenticationMode": "API"},
        )
        return str(made["cluster"]["status"])

    assert await asyncio.to_thread(make) == "CREATING"
    await lab.report_cluster("dev", "ACTIVE")

    def use() -> None:
        eks.get_waiter("cluster_active").wait(name="dev")
        assert eks.describe_cluster(name="dev")["cluster"]["createdAt"].year >= 2026
        pages = eks.get_paginator("list_access_entries").paginate(clusterName="dev")
        principal = next(iter(pages))["accessEntries"][0]
        entry = eks.describe_access_entry(clusterName="dev", principalArn=principal)
        assert entry["accessEntry"]["principalArn"] == principal
        with pytest.raises(eks.exceptions.ResourceNotFoundException) as missing:
            eks.describe_nodegroup(clusterName="dev", nodegroupName="none")
        assert missing.value.response["nodegroupName"] == "none"
        with pytest.raises(eks.exceptions.ResourceInUseException):
            make()

    await asyncio.to_thread(use)


async def test_boto3_uses_services_of_every_protocol(lab: Lab, aws: Client) -> None:
    def use() -> None:
        assert aws("sts").get_caller_identity()["Arn"].endswith(":user/ekslab")
        ec2 = aws("ec2")
        found = ec2.describe_subnets(
            Filters=[{"Name": "tag-key", "Values": ["kubernetes.io/role/elb"]}]
        )
        assert {s["SubnetId"] for s in found["Subnets"]} == set(lab.cloud.account.public_subnets)
        name = f"{EKS_AMIS}/1.34/amazon-linux-2023/x86_64/standard/recommended/image_id"
        image = aws("ssm").get_parameter(Name=name)["Parameter"]["Value"]
        described = ec2.describe_images(ImageIds=[image])["Images"][0]
        assert described["Name"].startswith("amazon-eks-node-al2023-x86_64-standard-1.34-")
        s3 = aws("s3")
        s3.create_bucket(Bucket="bucket-b")
        s3.put_object(Bucket="bucket-b", Key="a key/ü", Body=b"text")
        assert s3.get_object(Bucket="bucket-b", Key="a key/ü")["Body"].read() == b"text"
        url = s3.generate_presigned_url(
            "get_object", Params={"Bucket": "bucket-b", "Key": "a key/ü"}
        )
        assert url.startswith("http://127.0.0.1:")
        sqs = aws("sqs")
        queue = sqs.create_queue(QueueName="q")["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody="hello")
        assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "hello"
        polled = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)
        assert "Messages" not in polled
        role = aws("iam").get_role(RoleName="ekslab-node-role")["Role"]
        assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {
            "Service": "ec2.amazonaws.com"
        }
        with pytest.raises(botocore.exceptions.ClientError) as unknown:
            ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="x9.huge")
        assert unknown.value.response["Error"]["Message"] == (
            "Invalid value 'x9.huge' for InstanceType."
        )

    await asyncio.to_thread(use)


@pytest.fixture
async def inside(lab: Lab, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    path = tmp_path / "cloud.sock"
    server = AsgiServer(CloudApp(lab.cloud, status=lambda: {"up": True}), unix_listener(path))
    await server.start()
    async with aiohttp.ClientSession(
        "http://cloud", connector=aiohttp.UnixConnector(str(path))
    ) as session:
        yield session
    await server.stop()


async def test_the_inside_door_streams_the_feed(lab: Lab, inside: aiohttp.ClientSession) -> None:
    async with inside.get("/feed", params={"after": "0"}) as answer:
        assert json.loads(await answer.content.readline())[0][1] == "reset"
        await lab.eks("POST", "/clusters", lab.cluster_body("dev"))
        kinds = {row[1] for row in json.loads(await answer.content.readline())}
    assert {"eks:cluster", "ec2:network-interface", "ec2:subnet"} <= kinds


async def test_the_inside_door_takes_reports_and_gives_credentials(
    lab: Lab, inside: aiohttp.ClientSession
) -> None:
    await lab.eks("POST", "/clusters", lab.cluster_body("dev"))
    config = lab.cloud.config
    report = {"account": config.account_id, "region": REGION, "cluster": "dev", "status": "ACTIVE"}
    async with inside.post("/reports/control-plane", json=report) as answer:
        assert answer.status == 200
    assert (await lab.eks("GET", "/clusters/dev"))[1]["cluster"]["status"] == "ACTIVE"
    wish = {"service": "eks-nodegroup.amazonaws.com"}
    async with inside.post("/sessions/service", json=wish) as answer:
        keys = await answer.json()
    assert set(keys) == {"accessKeyId", "secretAccessKey", "sessionToken", "expiresAt"}
    for path, body, status in (
        ("/sessions/instance", {"instanceId": "i-none"}, 404),
        ("/sessions/service", {"service": "none"}, 404),
        ("/sessions/service", {}, 400),
        ("/nothing", {}, 404),
    ):
        async with inside.post(path, json=body) as answer:
            assert answer.status == status
            assert "error" in await answer.json()
