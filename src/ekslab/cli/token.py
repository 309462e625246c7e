"""`ekslab token`: the exec plugin of kubectl, fast because kubectl starts it for every command.

Does what `aws eks get-token` does (a presigned `sts:GetCallerIdentity`, awscli
`customizations/eks/get_token.py`). Every import here is felt: no pathlib, no typing, no dataclass.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence

from ekslab.cloud.keys import Keys
from ekslab.cloud.login_token import eks_token

_VALID_S = 14 * 60
_API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_USAGE = "usage: ekslab token --cluster-name NAME [--region REGION]"


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
    token = eks_token(cluster, keys, region=region, now_s=now)
    print(json.dumps(_credential(token, now, environment)))
    return 0


def _option(arguments: Sequence[str], name: str) -> str:
    for index, word in enumerate(arguments):
        if word.startswith(name + "="):
            return word.split("=", 1)[1]
        if word == name and index + 1 < len(arguments):
            return arguments[index + 1]
    return ""


def _keys(environment: Mapping[str, str]) -> Keys | None:
    if environment.get("AWS_ACCESS_KEY_ID") and environment.get("AWS_SECRET_ACCESS_KEY"):
        return Keys(
            environment["AWS_ACCESS_KEY_ID"],
            environment["AWS_SECRET_ACCESS_KEY"],
            environment.get("AWS_SESSION_TOKEN", ""),
        )
    home = os.path.expanduser(environment.get("EKSLAB_HOME") or "~/.ekslab")  # noqa: PTH111 - fast
    try:
        with open(f"{home}/credentials.json", encoding="utf-8") as file:  # noqa: PTH123 - fast
            loaded: dict[str, str] = json.load(file)
    except (OSError, ValueError):
        return None
    return Keys(loaded["access_key_id"], loaded["secret_access_key"])


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
