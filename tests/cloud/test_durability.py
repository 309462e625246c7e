"""What was answered is there after a crash, with the same ids."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ekslab.cloud.calls import first
from ekslab.cloud.cloud import Cloud
from ekslab.cloud.journal import Journal, JournalError
from ekslab.cloud.keys import Keys
from tests.cloud.lab import Lab, running_lab

ACCOUNT = "200000000001"
WRITER = """
import asyncio, sys
from pathlib import Path
from tests.cloud.test_durability import write_until_killed
asyncio.run(write_until_killed(Path(sys.argv[1])))
"""


async def make_a_bit_of_everything(lab: Lab) -> None:
    """Calls of many services, ours and moto's, with ids of every source of chance."""
    account = lab.cloud.account
    subnet = account.private_subnets[0]
    await lab.query("iam", "CreateUser", UserName="someone")
    await lab.query("iam", "CreateAccessKey", UserName="someone")
    await lab.query(
        "ec2",
        "RunInstances",
        ImageId="ami-12345678",
        MinCount=2,
        MaxCount=2,
        InstanceType="t3.medium",
        SubnetId=subnet,
    )
    await lab.query("ec2", "CreateNetworkInterface", SubnetId=subnet)
    await lab.query("ec2", "CreateKeyPair", KeyName="not-replayable")
    await lab.query("ec2", "CreateVolume", Size=1, AvailabilityZone="us-east-1a")
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
        MinSize=3,
        MaxSize=4,
        LaunchTemplate_LaunchTemplateName="t",
        VPCZoneIdentifier=",".join(account.private_subnets),
    )
    await lab.send("s3", "PUT", "/bucket")
    await lab.send("s3", "PUT", "/bucket/key", body=b"text")
    await lab.send("s3", "POST", "/bucket/big", query="uploads=")
    for target, body in (
        ("AmazonSSM.PutParameter", {"Name": "/a", "Value": "b", "Type": "String"}),
        ("AmazonSSM.PutParameter", {"Name": "/c", "Value": "d", "Type": "SecureString"}),
    ):
        answer = await lab.send(
            "ssm",
            "POST",
            "/",
            body=json.dumps(body).encode(),
            content_type="application/x-amz-json-1.1",
            headers=(("X-Amz-Target", target),),
        )
        assert answer.status == 200
    await lab.active_cluster("dev", accessConfig={"authenticationMode": "API"})
    status, _ = await lab.eks("POST", "/clusters/dev/node-groups", lab.group_body())
    assert status == 200


async def everything_described(lab: Lab) -> dict[str, str]:
    """The state of the account as its users see it."""
    seen = {}
    for service, actions in {
        "ec2": (
            "DescribeInstances",
            "DescribeNetworkInterfaces",
            "DescribeSubnets",
            "DescribeVpcs",
            "DescribeVolumes",
            "DescribeKeyPairs",
            "DescribeSecurityGroups",
            "DescribeRouteTables",
            "DescribeNatGateways",
            "DescribeAddresses",
            "DescribeLaunchTemplates",
        ),
        "iam": ("ListUsers", "ListRoles", "ListInstanceProfiles", "GetAccountSummary"),
        "autoscaling": ("DescribeAutoScalingGroups", "DescribeScalingActivities"),
        "sts": ("GetCallerIdentity",),
    }.items():
        for action in actions:
            answer = await lab.query(service, action)
            assert answer.status == 200, (action, answer.body)
            seen[action] = _without_request_id(answer.body.decode())
    for path in ("/", "/bucket", "/bucket/key"):
        seen[path] = (await lab.send("s3", "GET", path)).body.decode()
    seen["uploads"] = (await lab.send("s3", "GET", "/bucket", query="uploads=")).body.decode()
    for target, body in (("AmazonSSM.GetParametersByPath", {"Path": "/", "WithDecryption": True}),):
        answer = await lab.send(
            "ssm",
            "POST",
            "/",
            body=json.dumps(body).encode(),
            content_type="application/x-amz-json-1.1",
            headers=(("X-Amz-Target", target),),
        )
        seen[target] = answer.body.decode()
    for path in ("/clusters/dev", "/clusters/dev/node-groups/a", "/clusters/dev/access-entries"):
        seen[path] = str((await lab.eks("GET", path))[1])
    return seen


def _without_request_id(text: str) -> str:
    for tag in ("requestId", "RequestId", "RequestID"):
        found = first(text, tag)
        text = text.replace(f"<{tag}>{found}</{tag}>", "")
    return text


def _abandon(cloud: Cloud) -> None:
    """End as a killed process ends: nothing is written any more."""
    journal = cloud._journal
    assert journal is not None
    journal.close()
    cloud._journal = None


async def test_a_replayed_account_is_the_same_account(tmp_path: Path) -> None:
    async with running_lab(tmp_path, account_id=ACCOUNT) as lab:
        await make_a_bit_of_everything(lab)
        keys = lab.keys
        before = await everything_described(lab)
        _abandon(lab.cloud)
    async with running_lab(tmp_path, account_id=ACCOUNT, seed="another") as lab:
        assert lab.keys.secret_access_key == keys.secret_access_key
        after = await everything_described(lab)
    assert after == before


async def test_a_cleanly_stopped_account_is_the_same_account(tmp_path: Path) -> None:
    async with running_lab(tmp_path, account_id=ACCOUNT) as lab:
        await make_a_bit_of_everything(lab)
        before = await everything_described(lab)
    async with running_lab(tmp_path, account_id=ACCOUNT, seed="another") as lab:
        after = await everything_described(lab)
    assert after == before


async def test_sessions_outlive_a_crash(tmp_path: Path) -> None:
    async with running_lab(tmp_path, account_id=ACCOUNT) as lab:
        made = (await lab.query("sts", "GetSessionToken")).body.decode()
        _abandon(lab.cloud)
    keys = Keys(*(first(made, t) for t in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
    async with running_lab(tmp_path, account_id=ACCOUNT) as lab:
        assert (await lab.query("sts", "GetCallerIdentity", keys=keys)).status == 200


async def write_until_killed(data_dir: Path) -> None:
    """Make things and print each id once its call was answered, for ever."""
    async with running_lab(data_dir, account_id=ACCOUNT) as lab:
        number = 0
        subnet = lab.cloud.account.private_subnets[0]
        while True:
            number += 1
            answer = await lab.query("ec2", "CreateNetworkInterface", SubnetId=subnet)
            print("eni", first(answer.body.decode(), "networkInterfaceId"), flush=True)
            answer = await lab.query("iam", "CreateUser", UserName=f"u{number}")
            print("user", first(answer.body.decode(), "UserId"), flush=True)
            status, _ = await lab.eks("POST", "/clusters", lab.cluster_body(f"c{number}"))
            if status == 200:
                print("cluster", f"c{number}", flush=True)


def told_before_sigkill(data_dir: Path) -> list[tuple[str, str]]:
    """Run the writer and kill it in the middle; what it had been answered by then."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(data_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    ) as process:
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            kind, ident = line.split()
            told.append((kind, ident))
            if len(told) == 40:
                process.send_signal(signal.SIGKILL)
    return told


async def test_every_answered_call_survives_sigkill(tmp_path: Path) -> None:
    told = await asyncio.to_thread(told_before_sigkill, tmp_path)
    assert len(told) >= 40
    async with running_lab(tmp_path, account_id=ACCOUNT, seed="another") as lab:
        interfaces = (await lab.query("ec2", "DescribeNetworkInterfaces")).body.decode()
        users = (await lab.query("iam", "ListUsers")).body.decode()
        clusters = (await lab.eks("GET", "/clusters"))[1]["clusters"]
    kept = {"eni": interfaces, "user": users, "cluster": clusters}
    assert [(kind, ident) for kind, ident in told if ident not in kept[kind]] == []


async def test_another_versions_state_is_refused_in_one_sentence(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "cloud.db")
    journal._database.execute("UPDATE meta SET value = '0 python-3.9-moto-1'")
    journal.close()
    with pytest.raises(JournalError, match=r"is of version 0 python-3\.9-moto-1 and this is"):
        Journal(tmp_path / "cloud.db")


async def test_a_disk_that_refuses_is_an_error_and_nothing_is_lost(tmp_path: Path) -> None:
    async with running_lab(tmp_path, account_id=ACCOUNT) as lab:
        journal = lab.cloud._journal
        assert journal is not None
        journal._database.execute("PRAGMA query_only=1")
        refused = await lab.query("iam", "CreateUser", UserName="late")
        assert refused.status == 500
        journal._database.execute("PRAGMA query_only=0")
        assert (await lab.query("iam", "GetUser", UserName="late")).status == 200
        _abandon(lab.cloud)
    async with running_lab(tmp_path, account_id=ACCOUNT) as lab:
        assert (await lab.query("iam", "GetUser", UserName="late")).status == 200
