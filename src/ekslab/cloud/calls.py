"""Calls to moto that are remembered: the one way by which anything in here changes moto.

`forward` passes a client's request on; `query` is for our own needs (an EKS cluster's security
group, the prepared account) and skips signatures, not the journal.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from ekslab.cloud.engine.engine import NOT_REPLAYABLE, Engine
from ekslab.cloud.gateway.faults import AwsFault
from ekslab.cloud.gateway.sigv4 import header
from ekslab.cloud.journal import Call
from ekslab.cloud.ports import AwsRequest, AwsResponse
from ekslab.kit.clock import Clock
from ekslab.kit.ids import Ids

_VERSIONS = {
    "ec2": "2016-11-15",
    "iam": "2010-05-08",
    "autoscaling": "2011-01-01",
}
_UNSAVED_HEADERS = frozenset(
    {"authorization", "user-agent", "accept-encoding", "connection", "x-amz-security-token"}
)


class Calls:
    """moto, with every changing call kept for the journal until `take` is called."""

    def __init__(self, engine: Engine, *, clock: Clock, ids: Ids) -> None:
        self._engine = engine
        self._clock = clock
        self._ids = ids
        self._pending: list[Call] = []
        self._needs_checkpoint = False

    def forward(
        self, request: AwsRequest, *, service: str, region: str, action: str, mutates: bool
    ) -> AwsResponse:
        """Let moto answer.

        Raises:
            AwsFault: it cannot.
        """
        slim = _slim(request, service, region)
        now_s = self._clock.now()
        if not mutates:
            return self._engine.read(slim, service=service, region=region, now_s=now_s)
        call = Call(service, region, self._ids.hex(32), now_s, slim)
        # Before it is made: even a call that fails may have changed something.
        self._pending.append(call)
        if not NOT_REPLAYABLE.isdisjoint({(service, action), (service, "*")}):
            self._needs_checkpoint = True
        return self.repeat(call)

    def repeat(self, call: Call) -> AwsResponse:
        """Make a call with the seed and the time it says, remembering nothing."""
        return self._engine.call(
            call.request,
            service=call.service,
            region=call.region,
            seed=call.seed,
            now_s=call.now_s,
        )

    def query(self, service: str, region: str, action: str, **parameters: Any) -> str:
        """Call a query service for ourselves; the XML of the answer.

        Lists and mappings are given as in boto3, under the names of the wire.

        Raises:
            AwsFault: it was refused.
        """
        flat = service == "ec2"
        form = [("Action", action), ("Version", _VERSIONS[service])]
        for name, value in parameters.items():
            _flatten(form, name, value, flat=flat)
        answer = self.forward(
            AwsRequest(
                "POST",
                "/",
                "",
                (
                    ("Host", f"{service}.{region}.amazonaws.com"),
                    ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
                ),
                urlencode(form).encode(),
            ),
            service=service,
            region=region,
            action=action,
            mutates=not action.startswith(("Describe", "Get", "List")),
        )
        text = answer.body.decode()
        if answer.status >= 300:
            raise AwsFault(first(text, "Code"), first(text, "Message"), status=answer.status)
        return text

    def take(self) -> tuple[list[Call], bool]:
        """The calls since the last time, and whether only a checkpoint can keep them."""
        taken = self._pending, self._needs_checkpoint
        self._pending, self._needs_checkpoint = [], False
        return taken


def first(xml: str, tag: str) -> str:
    """The text of the first element of this name, empty if there is none."""
    match = re.search(rf"<{tag}>([^<]*)</{tag}>", xml)
    return match.group(1) if match else ""


def _slim(request: AwsRequest, service: str, region: str) -> AwsRequest:
    """The request without what moto does not look at, secrets above all. Of the signature only the
    key's id is left: by it moto knows the user.
    """
    key_id = _key_id(request)
    headers = [
        (name, value) for name, value in request.headers if name.lower() not in _UNSAVED_HEADERS
    ]
    credential = f"{key_id}/20000101/{region}/{service}/aws4_request"
    headers.append(("Authorization", f"AWS4-HMAC-SHA256 Credential={credential}"))
    return AwsRequest(
        request.method, request.raw_path, request.query, tuple(headers), request.body, request.tls
    )


def _key_id(request: AwsRequest) -> str:
    authorization = header(request.headers, "authorization")
    match = re.search(r"Credential=([A-Z0-9]{16,128})/", authorization)
    if match is None:
        match = re.search(
            r"X-Amz-Credential=([A-Z0-9]{16,128})(?:/|%2F)", request.query, re.IGNORECASE
        )
    return match.group(1) if match else "INTERNAL"


def _flatten(form: list[tuple[str, str]], name: str, value: Any, *, flat: bool) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(form, f"{name}.{key}", inner, flat=flat)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, inner in enumerate(value, start=1):
            _flatten(
                form, f"{name}.{index}" if flat else f"{name}.member.{index}", inner, flat=flat
            )
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        form.append((name, text))
