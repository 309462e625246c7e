"""A started cloud in memory, and a client that signs: what the tests of this room stand on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from ekslab.cloud.calls import first
from ekslab.cloud.cloud import AccountTemplate, Cloud, CloudConfig
from ekslab.cloud.gateway.sigv4 import presign, sign
from ekslab.cloud.keys import Keys
from ekslab.cloud.ports import AwsRequest, AwsResponse, ControlPlaneReport, NodegroupReport
from ekslab.kit.clock import LoopClock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng

VERSIONS = {"ec2": "2016-11-15", "iam": "2010-05-08", "sts": "2011-06-15"}
VERSIONS["autoscaling"] = "2011-01-01"
REGION = "us-east-1"
FORM = "application/x-www-form-urlencoded"
# One prepared account, from which every test's own starts.
_templates: dict[str, AccountTemplate] = {}


class HandClock:
    """A wall clock that stands still until it is moved."""

    def __init__(self, now_s: float = 1_795_000_000.0) -> None:
        self.now_s = now_s

    def now(self) -> float:
        return self.now_s


@dataclass
class Lab:
    """A cloud and whom the client signs as."""

    cloud: Cloud
    wall: HandClock
    keys: Keys

    async def send(self, service: str, method: str, path: str, **more: Any) -> AwsResponse:
        return await self.cloud.endpoint.handle(self.signed(service, method, path, **more))

    def signed(
        self,
        service: str,
        method: str,
        path: str,
        *,
        query: str = "",
        body: bytes = b"",
        content_type: str = "application/json",
        headers: tuple[tuple[str, str], ...] = (),
        keys: Keys | None = None,
        region: str = REGION,
    ) -> AwsRequest:
        request = AwsRequest(
            method,
            path,
            query,
            (("Host", "localhost:4566"), ("Content-Type", content_type), *headers),
            body,
        )
        return sign(
            request, keys=keys or self.keys, service=service, region=region, now_s=self.wall.now_s
        )

    async def query(
        self, service: str, action: str, *, keys: Keys | None = None, **parameters: Any
    ) -> AwsResponse:
        """A call of a query service; underscores in names stand for dots."""
        form = {"Action": action, "Version": VERSIONS[service]}
        form |= {name.replace("_", "."): str(value) for name, value in parameters.items()}
        body = urlencode(form).encode()
        return await self.send(service, "POST", "/", body=body, content_type=FORM, keys=keys)

    async def eks(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: str = "",
        keys: Keys | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """A call of EKS: status, and the body with the error's name as `code`."""
        raw = b"" if body is None else orjson.dumps(body)
        answer = await self.send("eks", method, path, body=raw, query=query, keys=keys)
        decoded = orjson.loads(answer.body)
        decoded["code"] = dict(answer.headers).get("x-amzn-ErrorType", "")
        return answer.status, decoded

    def cluster_body(self, name: str = "dev", **changes: Any) -> dict[str, Any]:
        account = self.cloud.account
        body: dict[str, Any] = {
            "name": name,
            "roleArn": account.cluster_role_arn,
            "resourcesVpcConfig": {"subnetIds": list(account.private_subnets)},
        }
        return {**body, **changes}

    def group_body(self, name: str = "a", **changes: Any) -> dict[str, Any]:
        account = self.cloud.account
        body: dict[str, Any] = {
            "nodegroupName": name,
            "nodeRole": account.node_role_arn,
            "subnets": list(account.private_subnets),
            "scalingConfig": {"minSize": 1, "maxSize": 5, "desiredSize": 3},
        }
        return {**body, **changes}

    async def active_cluster(self, name: str = "dev", **changes: Any) -> None:
        status, _ = await self.eks("POST", "/clusters", self.cluster_body(name, **changes))
        assert status == 200
        await self.report_cluster(name, "ACTIVE")

    async def report_cluster(self, name: str, status: str) -> None:
        config = self.cloud.config
        await self.cloud.reports.control_plane(
            ControlPlaneReport(
                config.account_id,
                config.region,
                name,
                status,
                endpoint="https://127.0.0.1:6443",
                certificate_authority_pem="PEM",
            )
        )

    async def report_group(self, cluster: str, name: str, status: str) -> None:
        config = self.cloud.config
        await self.cloud.reports.nodegroup(
            NodegroupReport(config.account_id, config.region, cluster, name, status)
        )

    async def user(self, name: str, policy: str = "") -> Keys:
        """A new IAM user with an inline policy, and its keys."""
        await self.query("iam", "CreateUser", UserName=name)
        if policy:
            put = await self.query(
                "iam", "PutUserPolicy", UserName=name, PolicyName="p", PolicyDocument=policy
            )
            assert put.status == 200, put.body
        made = (await self.query("iam", "CreateAccessKey", UserName=name)).body.decode()
        return Keys(first(made, "AccessKeyId"), first(made, "SecretAccessKey"))


def presigned(lab: Lab, *, cluster: str = "dev", keys: Keys | None = None) -> AwsRequest:
    """An EKS login token's request, as the verifier sends it to STS."""
    return presign(
        AwsRequest(
            "GET",
            "/",
            "Action=GetCallerIdentity&Version=2011-06-15",
            (("host", f"sts.{REGION}.amazonaws.com"), ("x-k8s-aws-id", cluster)),
            b"",
        ),
        keys=keys or lab.keys,
        service="sts",
        region=REGION,
        now_s=lab.wall.now_s,
    )


@contextlib.asynccontextmanager
async def running_lab(
    data_dir: Path | None = None, *, account_id: str = "123456789012", seed: str = "test"
) -> AsyncIterator[Lab]:
    """A started cloud; one at a time in a process."""
    wall = HandClock()
    cloud = Cloud(
        CloudConfig(
            account_id=account_id,
            kubernetes_versions=("1.33", "1.34", "1.35"),
            default_version="1.34",
        ),
        clock=LoopClock(asyncio.get_running_loop(), epoch_s=wall.now_s),
        wall_clock=wall,
        ids=Ids(Rng(seed)),
        data_dir=data_dir,
        template=None if data_dir else _templates.get(account_id),
    )
    await cloud.start()
    if account_id not in _templates:
        _templates[account_id] = cloud.template()
    account = cloud.account
    try:
        yield Lab(cloud, wall, Keys(account.access_key_id, account.secret_access_key))
    finally:
        await cloud.stop()
