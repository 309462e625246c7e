"""`ekslab token`: the exec plugin of kubectl, fast because kubectl starts it for every command.

Does what `aws eks get-token` does (a presigned `sts:GetCallerIdentity`, awscli
`customizations/eks/get_token.py`) with the standard library alone.
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

_VALID_S: Final = 14 * 60
_API_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_USAGE: Final = "usage: ekslab token --cluster-name NAME [--region REGION]"
_EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()


def main(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Print an ExecCredential for the cluster named in the arguments."""
    cluster = _option(arguments, "--cluster-name")
    if not cluster:
        print(_USAGE, file=sys.stderr)
        return 2
    keys = _keys(environment)
    if keys is None:
        print(
            "error: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,"
            " or run `ekslab up` first",
            file=sys.stderr,
        )
        return 1
    region = (
        _option(arguments, "--region")
        or environment.get("AWS_REGION")
        or environment.get("AWS_DEFAULT_REGION")
        or "us-east-1"
    )
    now = time.time()  # noqa: TID251 - wall time: STS checks it by its own clock
    url = presign(cluster, keys, region=region, now=now)
    token = "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    print(json.dumps(_credential(token, now, environment)))
    return 0


def presign(cluster: str, keys: Mapping[str, str], *, region: str, now: float) -> str:
    """The presigned URL for one cluster; `keys` has access_key_id, secret_access_key and maybe
    session_token.
    """
    host = f"sts.{region}.amazonaws.com"
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    scope = f"{stamp[:8]}/{region}/sts/aws4_request"
    parameters = {
        "Action": "GetCallerIdentity",
        "Version": "2011-06-15",
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{keys['access_key_id']}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": "60",
        "X-Amz-SignedHeaders": "host;x-k8s-aws-id",
    }
    if keys.get("session_token"):
        parameters["X-Amz-Security-Token"] = keys["session_token"]
    query = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
        for name, value in sorted(parameters.items())
    )
    canonical = "\n".join(
        ["GET", "/", query, f"host:{host}", f"x-k8s-aws-id:{cluster}", "", "host;x-k8s-aws-id"]
    )
    canonical += "\n" + _EMPTY_SHA256
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = f"AWS4{keys['secret_access_key']}".encode()
    for part in (stamp[:8], region, "sts", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return f"https://{host}/?{query}&X-Amz-Signature={signature}"


def _option(arguments: Sequence[str], name: str) -> str:
    for index, word in enumerate(arguments):
        if word.startswith(name + "="):
            return word.split("=", 1)[1]
        if word == name and index + 1 < len(arguments):
            return arguments[index + 1]
    return ""


def _keys(environment: Mapping[str, str]) -> dict[str, str] | None:
    if environment.get("AWS_ACCESS_KEY_ID") and environment.get("AWS_SECRET_ACCESS_KEY"):
        return {
            "access_key_id": environment["AWS_ACCESS_KEY_ID"],
            "secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
            "session_token": environment.get("AWS_SESSION_TOKEN", ""),
        }
    home = Path(environment.get("EKSLAB_HOME") or "~/.ekslab").expanduser()
    try:
        loaded: dict[str, str] = json.loads((home / "credentials.json").read_text())
    except (OSError, ValueError):
        return None
    return loaded


def _credential(token: str, now: float, environment: Mapping[str, str]) -> dict[str, object]:
    asked = _API_VERSIONS[1]
    try:
        info = json.loads(environment.get("KUBERNETES_EXEC_INFO") or "{}")
        if info.get("apiVersion") in _API_VERSIONS:
            asked = info["apiVersion"]
    except ValueError:
        pass
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + _VALID_S))
    return {
        "kind": "ExecCredential",
        "apiVersion": asked,
        "spec": {},
        "status": {"expirationTimestamp": expires, "token": token},
    }
