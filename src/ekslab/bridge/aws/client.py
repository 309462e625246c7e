"""A thin AWS client: signs, sends, reads the answer. It speaks to the endpoint as anybody does.

boto3 would do the same, but it blocks, and its EC2 model alone costs 30 MB in a process that
serves clusters. The bridge needs a dozen calls of two protocols: query (EC2, Auto Scaling, IAM,
STS; XML answers) and rest-json (EKS).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

from ekslab.cloud.gateway import sigv4
from ekslab.cloud.keys import Keys
from ekslab.cloud.ports import AwsRequest, AwsResponse, Endpoint
from ekslab.kit.clock import WallClock

API_VERSIONS: Final = {
    "ec2": "2016-11-15",
    "autoscaling": "2011-01-01",
    "iam": "2010-05-08",
    "sts": "2011-06-15",
}
# Lists in a query: EC2 writes `Name.1`, the other services `Name.member.1`.
_FLAT_LISTS: Final = frozenset({"ec2"})


class AwsError(Exception):
    """The endpoint said no: `code` as in the AWS API reference, HTTP `status`, `message`."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = status
        self.message = message

    @property
    def retryable(self) -> bool:
        """Throttling and the server's own faults pass; the rest are answers."""
        return self.status >= 500 or self.code in {"Throttling", "RequestLimitExceeded"}


class AwsClient:
    """Calls AWS operations with one identity in one region.

    `keys` is asked before each call, so that temporary credentials can be renewed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        keys: Callable[[], Keys],
        *,
        region: str,
        wall_clock: WallClock,
    ) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self._wall_clock = wall_clock
        self.region = region

    async def query(self, service: str, action: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation of a query service; gives its answer as nested dicts and lists.

        Parameters are in the spelling of the API (`MinSize=1`, `InstanceIds=[...]`), nested as in
        boto3. An element without children reads as its text, so an empty list reads as "".

        Raises:
            AwsError: the call was refused.
        """
        form = {"Action": action, "Version": API_VERSIONS[service]}
        flat = service in _FLAT_LISTS
        for name, value in parameters.items():
            _flatten(form, name, value, flat_lists=flat)
        answer = await self._send(
            service,
            method="POST",
            path="/",
            headers={"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
            body=urlencode(form).encode(),
        )
        if answer.status >= 300:
            raise _xml_error(answer)
        return read_xml(answer.body)

    async def eks(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Call an EKS operation by method and path.

        Raises:
            AwsError: the call was refused.
        """
        answer = await self._send(
            "eks",
            method=method,
            path=path,
            headers={"content-type": "application/json"},
            body=json.dumps(body).encode() if body is not None else b"",
        )
        if answer.status >= 300:
            raise _json_error(answer)
        decoded: dict[str, Any] = json.loads(answer.body or b"{}")
        return decoded

    async def _send(
        self, service: str, *, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> AwsResponse:
        request = AwsRequest(
            method=method,
            raw_path=path,
            query="",
            headers=(("host", "localhost"), *headers.items()),
            body=body,
        )
        request = sigv4.sign(
            request,
            keys=self._keys(),
            service=service,
            region=self.region,
            now_s=self._wall_clock.now(),
        )
        return await self._endpoint.handle(request)


def _flatten(form: dict[str, str], name: str, value: Any, *, flat_lists: bool) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(form, f"{name}.{key}", inner, flat_lists=flat_lists)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        prefix = name if flat_lists else f"{name}.member"
        for index, inner in enumerate(value, start=1):
            _flatten(form, f"{prefix}.{index}", inner, flat_lists=flat_lists)
    elif isinstance(value, bool):
        form[name] = "true" if value else "false"
    else:
        form[name] = str(value)


def read_xml(body: bytes) -> dict[str, Any]:
    """The answer of a query service: elements become keys; `item` and `member` lists, lists."""
    read = _read(ET.fromstring(body))  # noqa: S314 - our own endpoint's answer
    return read if isinstance(read, dict) else {}


def _read(element: ET.Element) -> dict[str, Any] | list[Any] | str:
    children = list(element)
    if not children:
        return (element.text or "").strip()
    names = {_local(child.tag) for child in children}
    if names <= {"item", "member"}:
        return [_read(child) for child in children]
    return {_local(child.tag): _read(child) for child in children}


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]


def _xml_error(answer: AwsResponse) -> AwsError:
    try:
        root = ET.fromstring(answer.body)  # noqa: S314 - our own endpoint's answer
    except ET.ParseError:
        return AwsError("InternalFailure", answer.status, "unreadable answer")
    code = next((e.text for e in root.iter() if _local(e.tag) == "Code"), None)
    message = next((e.text for e in root.iter() if _local(e.tag) == "Message"), None)
    return AwsError(code or "InternalFailure", answer.status, message or "")


def _json_error(answer: AwsResponse) -> AwsError:
    headers = {name.lower(): value for name, value in answer.headers}
    code = headers.get("x-amzn-errortype", "InternalFailure").split(":")[0]
    try:
        body = json.loads(answer.body)
    except ValueError:
        body = {}
    return AwsError(code, answer.status, body.get("message") or body.get("Message") or "")
