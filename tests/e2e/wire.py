"""Requests as bytes on a socket: what no client library would send."""

import base64
import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http.client import HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.signers import RequestSigner

from tests.e2e.lab import Lab


@dataclass(frozen=True)
class Reply:
    """What came back."""

    code: int
    headers: HTTPMessage
    content: bytes

    @property
    def body(self) -> Any:
        """The content, decoded from JSON."""
        return json.loads(self.content)

    @property
    def reason(self) -> tuple[int, str]:
        """Code and reason of a Status, the pair that clients branch on."""
        return self.code, self.body["reason"]


class Api:
    """One user's way to one API server: an address, an authority, and how to say who asks."""

    def __init__(
        self,
        url: str,
        authority_pem: str,
        *,
        token: str = "",
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.url = url
        self.authority_pem = authority_pem
        self.token = token
        self._context = ssl.create_default_context(cadata=authority_pem)
        if certificate is not None:
            self._context.load_cert_chain(*certificate)

    def with_token(self, token: str) -> "Api":
        """The same server, asked by someone else."""
        return Api(self.url, self.authority_pem, token=token)

    def with_certificate(self, certificate: Path, key: Path) -> "Api":
        """The same server, asked by the bearer of a certificate."""
        return Api(self.url, self.authority_pem, certificate=(certificate, key))

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request on a connection of its own; bytes and text are sent as they are."""
        content = body
        if body is not None and not isinstance(body, bytes | str):
            content = json.dumps(body)
        sent = {"Content-Type": content_type} if body is not None else {}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        connection = http.client.HTTPSConnection(
            urlsplit(self.url).netloc, context=self._context, timeout=30
        )
        try:
            connection.request(method, path, content, sent | dict(headers or {}))  # type: ignore[arg-type]
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()


def admin(lab: Lab, cluster: str = "lab") -> Api:
    """The lab's own user at one of its clusters."""
    described = aws(lab, "eks").describe_cluster(name=cluster)["cluster"]
    authority = base64.b64decode(described["certificateAuthority"]["data"]).decode()
    return Api(described["endpoint"], authority, token=eks_token(session(lab), cluster))


def session(lab: Lab, **keys: str) -> boto3.Session:
    """A boto3 session of the lab's user, or of the keys given."""
    environment = lab.environment
    chosen = {
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
    }
    return _session(environment["AWS_REGION"], **(keys or chosen))


def aws(lab: Lab, service: str, **keys: str) -> Any:
    """A boto3 client of the lab's endpoint."""
    return _client(session(lab, **keys), service, lab.environment["AWS_ENDPOINT_URL"])


@cache
def _session(region: str, **keys: str) -> boto3.Session:
    return boto3.Session(region_name=region, **keys)


@cache
def _client(signed_by: boto3.Session, service: str, url: str | None) -> Any:
    return signed_by.client(service, endpoint_url=url)


def eks_token(
    signed_by: boto3.Session,
    cluster: str,
    *,
    host: str = "sts.us-east-1.amazonaws.com",
    action: str = "GetCallerIdentity",
    expires_s: int = 60,
) -> str:
    """What `aws eks get-token` makes (awscli `customizations/eks/get_token.py`), from botocore."""
    client = _client(signed_by, "sts", None)
    signer = RequestSigner(
        client.meta.service_model.service_id,
        signed_by.region_name,
        "sts",
        "v4",
        signed_by.get_credentials(),
        signed_by.events,
    )
    url = signer.generate_presigned_url(
        {
            "method": "GET",
            "url": f"https://{host}/?Action={action}&Version=2011-06-15",
            "body": {},
            "headers": {"x-k8s-aws-id": cluster},
            "context": {},
        },
        region_name=signed_by.region_name,
        expires_in=expires_s,
        operation_name="",
    )
    return wrap(url)


def wrap(url: str) -> str:
    """A presigned URL as a bearer token."""
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def unwrap(token: str) -> str:
    """The presigned URL inside a bearer token."""
    text = token.removeprefix("k8s-aws-v1.")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
