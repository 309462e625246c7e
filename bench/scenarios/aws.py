"""Calls to the AWS endpoint with signatures that are checked: ours, and moto's behind it."""

import json
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bench.load import lua, median_of, wrk
from bench.rows import Budget, Row
from bench.scenario import Surroundings
from bench.scenarios.objects import load_row

_OURS = Budget(2_000, "2,000/s", least=True)
_MOTO = Budget(200, "200/s", least=True)
_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_SECONDS = 4


@dataclass(frozen=True, slots=True)
class _Call:
    what: str
    service: str
    method: str
    path: str
    body: str
    budget: Budget


_CALLS = (
    _Call(
        "sts GetCallerIdentity",
        "sts",
        "POST",
        "/",
        "Action=GetCallerIdentity&Version=2011-06-15",
        _OURS,
    ),
    _Call("eks DescribeCluster", "eks", "GET", "/clusters/lab", "", _OURS),
    _Call(
        "ec2 DescribeVpcs (moto)",
        "ec2",
        "POST",
        "/",
        "Action=DescribeVpcs&Version=2016-11-15",
        _MOTO,
    ),
)


def run(surroundings: Surroundings) -> Sequence[Row]:
    """sts and eks are ours, ec2 is moto's."""
    lab = surroundings.own_lab
    pid = lab.pid("cloud")
    rows = []
    for call in _CALLS:
        load = partial(
            wrk,
            lab.environment["AWS_ENDPOINT_URL"] + call.path,
            lua(call.method, _signed(lab.environment, call), call.body),
            clients=16,
            seconds=_SECONDS,
            server_pids=[pid],
        )
        done = median_of(3, load)
        rows.append(load_row(f"{call.what}, 16 clients", done, done.rate, call.budget))
    return rows


def _signed(environment: dict[str, str], call: _Call) -> dict[str, str]:
    from ekslab.cloud.gateway.sigv4 import sign
    from ekslab.cloud.keys import Keys
    from ekslab.cloud.ports import AwsRequest

    headers = [("host", urllib.parse.urlsplit(environment["AWS_ENDPOINT_URL"]).netloc)]
    if call.body:
        headers.append(("content-type", _FORM))
    request = AwsRequest(call.method, call.path, "", tuple(headers), call.body.encode())
    keys = Keys(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    region = environment["AWS_REGION"]
    signed = sign(request, keys=keys, service=call.service, region=region, now_s=time.time())
    return {name: json.dumps(value)[1:-1] for name, value in signed.headers if name != "host"}
