"""What is checked of a token before STS is asked (aws-iam-authenticator's list, in its order)."""

import base64
from urllib.parse import quote

import pytest

from ekslab.bridge.identity.token import TokenError, parse
from ekslab.cloud.keys import Keys
from ekslab.cloud.login_token import PREFIX, eks_token

NOW = 1_800_000_000.0
KEYS = Keys("AKIAEXAMPLE", "secret")


def token_of(url: str) -> str:
    return PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


def url_of(token: str) -> str:
    body = token.removeprefix(PREFIX)
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode()


GOOD = url_of(eks_token("dev", KEYS, region="eu-west-1", now_s=NOW))


def test_a_fresh_token_is_taken_apart() -> None:
    presigned = parse(token_of(GOOD), now=NOW + 60)
    assert presigned.host == "sts.eu-west-1.amazonaws.com"
    assert presigned.access_key_id == "AKIAEXAMPLE"
    assert presigned.expires_at == NOW + 900
    assert presigned.query == GOOD.split("?", 1)[1]


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("https://sts.amazonaws.com/", id="global host"),
        pytest.param("https://sts-fips.us-east-1.amazonaws.com/", id="fips"),
        pytest.param("https://sts.us-gov-west-1.api.aws/", id="dual stack"),
        pytest.param("http://127.0.0.1:4566/", id="the lab over http"),
        pytest.param("https://localhost:4566/", id="the lab by name"),
    ],
)
def test_hosts_of_sts_and_of_the_lab_are_accepted(place: str) -> None:
    url = place + "?" + GOOD.split("?", 1)[1]
    assert parse(token_of(url), now=NOW).host


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param(GOOD.replace("https://", "http://"), "scheme", id="plain http to aws"),
        pytest.param(GOOD.replace("amazonaws.com", "evil.example"), "hostname", id="another host"),
        pytest.param(
            GOOD.replace("sts.eu-west-1.amazonaws.com", "sts.eu-west-1.amazonaws.com.evil.example"),
            "hostname",
            id="a host that begins like sts",
        ),
        pytest.param(
            GOOD.replace("https://", "https://user@"), "user or fragment", id="user in the url"
        ),
        pytest.param(
            GOOD.replace("amazonaws.com/", "amazonaws.com:8443/"), "hostname", id="port at aws"
        ),
        pytest.param(GOOD.replace("/?", "/x?"), "path", id="another path"),
        pytest.param(GOOD.replace("GetCallerIdentity", "ListUsers"), "action", id="another action"),
        pytest.param(GOOD + "&Foo=1", "non-whitelisted", id="unknown parameter"),
        pytest.param(GOOD + "&action=GetCallerIdentity", "duplicate", id="parameter twice"),
        pytest.param(
            GOOD.replace(quote("host;x-k8s-aws-id", safe=""), "host"),
            "did not sign",
            id="cluster header not signed",
        ),
        pytest.param(
            GOOD.replace("X-Amz-Expires=60", "X-Amz-Expires=901"), "Expires", id="expires too long"
        ),
        pytest.param(
            GOOD.replace("X-Amz-Expires=60", "X-Amz-Expires=-1"), "Expires", id="expires negative"
        ),
        pytest.param(GOOD.replace("X-Amz-Date=2", "X-Amz-Date=x"), "Date", id="no date"),
    ],
)
def test_a_changed_url_is_refused(url: str, why: str) -> None:
    with pytest.raises(TokenError, match=why):
        parse(token_of(url), now=NOW)


@pytest.mark.parametrize(
    ("token", "why"),
    [
        pytest.param("k8s-aws-v2.abc", "prefix", id="another prefix"),
        pytest.param(PREFIX + "A" * 4096, "too large", id="too large"),
        pytest.param(PREFIX + "ab==", "padded", id="padded"),
        pytest.param(PREFIX + "a!b", "no presigned URL", id="no base64"),
        pytest.param(PREFIX + "/w", "no presigned URL", id="standard alphabet"),
        pytest.param(PREFIX, "hostname", id="empty"),
    ],
)
def test_what_is_no_token_is_refused(token: str, why: str) -> None:
    with pytest.raises(TokenError, match=why):
        parse(token, now=NOW)


def test_a_token_is_good_for_fifteen_minutes() -> None:
    assert parse(token_of(GOOD), now=NOW + 900)
    with pytest.raises(TokenError, match="expired"):
        parse(token_of(GOOD), now=NOW + 901)
