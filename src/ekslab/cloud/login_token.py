"""The login token of EKS: a presigned `sts:GetCallerIdentity` for one cluster.

As `aws eks get-token` makes it (awscli `customizations/eks/get_token.py`): the cluster's name is a
signed header that is not in the URL, so that the token is good for that cluster alone.

kubectl starts `ekslab token` for every command, so this signs its one request by itself: to import
`ekslab.cloud.gateway.sigv4`, which signs any, would take longer than Python's own start.
"""

import hmac
from binascii import b2a_base64
from hashlib import sha256
from time import gmtime, strftime

from ekslab.cloud.keys import Keys

PREFIX = "k8s-aws-v1."
CLUSTER_HEADER = "x-k8s-aws-id"
_ALGORITHM = "AWS4-HMAC-SHA256"
_EXPIRES_S = 60
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


def eks_token(cluster: str, keys: Keys, *, region: str, now_s: float) -> str:
    """The bearer token with which these credentials log in to the cluster; good for 15 minutes."""
    host = f"sts.{region}.amazonaws.com"
    date = strftime("%Y%m%dT%H%M%SZ", gmtime(now_s))
    scope = f"{date[:8]}/{region}/sts/aws4_request"
    query = _query(keys, scope=scope, date=date)
    canonical = (
        f"GET\n/\n{query}\n"
        f"host:{host}\n{CLUSTER_HEADER}:{' '.join(cluster.split())}\n\n"
        f"host;{CLUSTER_HEADER}\n{sha256(b'').hexdigest()}"
    )
    to_sign = f"{_ALGORITHM}\n{date}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{keys.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    url = f"https://{host}/?{query}&X-Amz-Signature={signature}"
    encoded = b2a_base64(url.encode(), newline=False).decode().rstrip("=")
    return PREFIX + encoded.replace("+", "-").replace("/", "_")


def _query(keys: Keys, *, scope: str, date: str) -> str:
    """The parameters in canonical order: sorted by name."""
    token = keys.session_token
    return (
        "Action=GetCallerIdentity&Version=2011-06-15"
        f"&X-Amz-Algorithm={_ALGORITHM}"
        f"&X-Amz-Credential={_quoted(f'{keys.access_key_id}/{scope}')}"
        f"&X-Amz-Date={date}"
        f"&X-Amz-Expires={_EXPIRES_S}"
        + (f"&X-Amz-Security-Token={_quoted(token)}" if token else "")
        + f"&X-Amz-SignedHeaders=host%3B{CLUSTER_HEADER}"
    )


def _quoted(text: str) -> str:
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())
