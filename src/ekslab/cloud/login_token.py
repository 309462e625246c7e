"""The login token of EKS: a presigned `sts:GetCallerIdentity` for one cluster.

As `aws eks get-token` makes it (awscli `customizations/eks/get_token.py`): the cluster's name is a
signed header that is not in the URL, so that the token is good for that cluster alone.
"""

import base64
from typing import Final

from ekslab.cloud.gateway import sigv4
from ekslab.cloud.ports import AwsRequest

PREFIX: Final = "k8s-aws-v1."
CLUSTER_HEADER: Final = "x-k8s-aws-id"


def eks_token(cluster: str, keys: sigv4.Keys, *, region: str, now_s: float) -> str:
    """The bearer token with which these credentials log in to the cluster; good for 15 minutes."""
    host = f"sts.{region}.amazonaws.com"
    request = AwsRequest(
        method="GET",
        raw_path="/",
        query="Action=GetCallerIdentity&Version=2011-06-15",
        headers=(("host", host), (CLUSTER_HEADER, cluster)),
        body=b"",
    )
    signed = sigv4.presign(request, keys=keys, service="sts", region=region, now_s=now_s)
    url = f"https://{host}/?{signed.query}"
    return PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
