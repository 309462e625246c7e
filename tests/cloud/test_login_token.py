"""The login token signs its one request by itself: it is the request that `sigv4` would sign."""

import base64
from urllib.parse import urlsplit

import pytest

from ekslab.cloud.gateway import sigv4
from ekslab.cloud.keys import Keys
from ekslab.cloud.login_token import CLUSTER_HEADER, PREFIX, eks_token
from ekslab.cloud.ports import AwsRequest

NOW_S = 1_793_491_200.5
KEYS = [
    pytest.param(Keys("AKIA1", "secret/+="), id="long-lived"),
    pytest.param(Keys("ASIA1", "secret", "FwoG/+ab=="), id="session"),
    pytest.param(Keys("AKIÄ 1", "sécret"), id="odd"),
]


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("cluster", ["lab", " two  words "])
def test_a_token_is_a_presigned_request(keys: Keys, cluster: str) -> None:
    host = "sts.eu-west-1.amazonaws.com"
    bare = AwsRequest(
        method="GET",
        raw_path="/",
        query="Action=GetCallerIdentity&Version=2011-06-15",
        headers=(("host", host), (CLUSTER_HEADER, cluster)),
        body=b"",
    )
    expected = sigv4.presign(bare, keys=keys, service="sts", region="eu-west-1", now_s=NOW_S)

    token = eks_token(cluster, keys, region="eu-west-1", now_s=NOW_S)

    encoded = token.removeprefix(PREFIX)
    url = urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
    assert url.netloc == host
    assert sorted(url.query.split("&")) == sorted(expected.query.split("&"))
