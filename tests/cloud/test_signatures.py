"""Who gets in: signatures of both forms, sessions, and the words of each protocol for a refusal."""

import dataclasses
from collections.abc import Callable

import orjson
import pytest

from ekslab.cloud.calls import first
from ekslab.cloud.keys import Keys
from ekslab.cloud.ports import AwsRequest
from tests.cloud.lab import FORM, Lab, presigned

IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"


async def test_a_signed_call_says_who_the_caller_is(lab: Lab) -> None:
    answer = await lab.query("sts", "GetCallerIdentity")
    body = answer.body.decode()
    assert answer.status == 200
    assert first(body, "Arn") == f"arn:aws:iam::{lab.cloud.config.account_id}:user/ekslab"
    assert first(body, "UserId").startswith("AIDA")
    assert first(body, "Account") == lab.cloud.config.account_id


def _other_header(request: AwsRequest, name: str, value: str) -> AwsRequest:
    headers = [(key, value if key.lower() == name else old) for key, old in request.headers]
    return dataclasses.replace(request, headers=headers)


TAMPERED = [
    pytest.param(lambda r: dataclasses.replace(r, body=r.body + b"&x=1"), id="body"),
    pytest.param(lambda r: dataclasses.replace(r, method="PUT"), id="method"),
    pytest.param(lambda r: dataclasses.replace(r, raw_path="/other"), id="path"),
    pytest.param(lambda r: dataclasses.replace(r, query="a=b"), id="query"),
    pytest.param(lambda r: _other_header(r, "host", "elsewhere"), id="host"),
]


@pytest.mark.parametrize("tamper", TAMPERED)
async def test_a_changed_request_is_refused(
    lab: Lab, tamper: Callable[[AwsRequest], AwsRequest]
) -> None:
    request = lab.signed("sts", "POST", "/", body=IDENTITY, content_type=FORM)
    answer = await lab.cloud.endpoint.handle(tamper(request))
    assert answer.status == 403
    assert first(answer.body.decode(), "Code") == "SignatureDoesNotMatch"


WRONG_KEYS = [
    pytest.param("sts", "unknown", 403, "InvalidClientTokenId", id="query unknown key"),
    pytest.param("ec2", "unknown", 401, "AuthFailure", id="ec2 unknown key"),
    pytest.param("eks", "unknown", 403, "UnrecognizedClientException", id="eks unknown key"),
    pytest.param("s3", "unknown", 403, "InvalidAccessKeyId", id="s3 unknown key"),
    pytest.param("sts", "secret", 403, "SignatureDoesNotMatch", id="query wrong secret"),
    pytest.param("ec2", "secret", 401, "AuthFailure", id="ec2 wrong secret"),
    pytest.param("eks", "secret", 403, "InvalidSignatureException", id="eks wrong secret"),
    pytest.param("s3", "secret", 403, "SignatureDoesNotMatch", id="s3 wrong secret"),
]


@pytest.mark.parametrize(("service", "wrong", "status", "code"), WRONG_KEYS)
async def test_wrong_keys_get_the_protocols_own_error(
    lab: Lab, service: str, wrong: str, status: int, code: str
) -> None:
    keys = (
        Keys("AKIAUNKNOWN123456789", "x" * 40)
        if wrong == "unknown"
        else Keys(lab.keys.access_key_id, "x" * 40)
    )
    if service in {"sts", "ec2"}:
        answer = await lab.query(service, "GetCallerIdentity", keys=keys)
    else:
        path = "/clusters" if service == "eks" else "/bucket"
        answer = await lab.send(service, "GET", path, keys=keys)
    found = dict(answer.headers).get("x-amzn-ErrorType") or first(answer.body.decode(), "Code")
    assert (answer.status, found) == (status, code)


DATES = [
    pytest.param(-299, 200, "", id="4:59 late"),
    pytest.param(-301, 403, "Signature expired: ", id="5:01 late"),
    pytest.param(299, 200, "", id="4:59 early"),
    pytest.param(301, 403, "Signature not yet current: ", id="5:01 early"),
]


@pytest.mark.parametrize(("offset_s", "status", "message"), DATES)
async def test_a_header_signature_is_good_for_five_minutes(
    lab: Lab, offset_s: int, status: int, message: str
) -> None:
    now_s = lab.wall.now_s
    lab.wall.now_s = now_s + offset_s
    request = lab.signed("sts", "POST", "/", body=IDENTITY, content_type=FORM)
    lab.wall.now_s = now_s
    answer = await lab.cloud.endpoint.handle(request)
    assert answer.status == status
    assert first(answer.body.decode(), "Message").startswith(message)


async def test_an_unsigned_call_is_refused(lab: Lab) -> None:
    request = AwsRequest("POST", "/", "", (("Content-Type", FORM),), IDENTITY)
    answer = await lab.cloud.endpoint.handle(request)
    assert answer.status == 403
    assert first(answer.body.decode(), "Code") == "MissingAuthenticationToken"


@pytest.mark.parametrize("path", ["/moto-api/reset", "/moto-api/state-manager/set-transition"])
async def test_motos_own_control_api_is_shut(lab: Lab, path: str) -> None:
    answer = await lab.send("s3", "POST", path)
    assert answer.status == 403
    assert (await lab.eks("GET", "/clusters"))[0] == 200


async def test_a_header_cannot_choose_the_account(lab: Lab) -> None:
    header = (("x-moto-account-id", "999999999999"),)
    answer = await lab.send(
        "iam",
        "POST",
        "/",
        body=b"Action=GetUser&Version=2010-05-08",
        content_type=FORM,
        headers=header,
    )
    assert f"::{lab.cloud.config.account_id}:user/ekslab" in first(answer.body.decode(), "Arn")


async def test_a_login_token_is_answered_in_json(lab: Lab) -> None:
    request = presigned(lab)
    as_json = dataclasses.replace(
        request, headers=(*request.headers, ("accept", "application/json"))
    )
    answer = await lab.cloud.endpoint.handle(as_json)
    result = orjson.loads(answer.body)["GetCallerIdentityResponse"]["GetCallerIdentityResult"]
    assert answer.status == 200
    assert result["Arn"].endswith(":user/ekslab")
    as_xml = await lab.cloud.endpoint.handle(request)
    assert first(as_xml.body.decode(), "UserId") == result["UserId"]


LOGIN_CHANGES = [
    pytest.param("x-k8s-aws-id", "other", id="another cluster"),
    pytest.param("host", "sts.eu-west-1.amazonaws.com", id="another host"),
]


@pytest.mark.parametrize(("header", "value"), LOGIN_CHANGES)
async def test_a_login_token_for_something_else_is_refused(
    lab: Lab, header: str, value: str
) -> None:
    answer = await lab.cloud.endpoint.handle(_other_header(presigned(lab), header, value))
    assert first(answer.body.decode(), "Code") == "SignatureDoesNotMatch"


@pytest.mark.parametrize(("age_s", "status"), [(890, 200), (910, 403)])
async def test_a_login_token_lives_fifteen_minutes_whatever_its_expires_says(
    lab: Lab, age_s: int, status: int
) -> None:
    request = presigned(lab)
    lab.wall.now_s += age_s
    assert (await lab.cloud.endpoint.handle(request)).status == status


async def test_an_expiry_without_end_is_malformed(lab: Lab) -> None:
    request = presigned(lab)
    before, _, rest = request.query.partition("X-Amz-Expires=")
    query = f"{before}X-Amz-Expires={'9' * 5_000}&{rest.partition('&')[2]}"
    answer = await lab.cloud.endpoint.handle(dataclasses.replace(request, query=query))
    assert 400 <= answer.status < 500


async def _assumed(lab: Lab, **parameters: object) -> tuple[int, str]:
    answer = await lab.query("sts", "AssumeRole", **parameters)
    return answer.status, answer.body.decode()


async def _role(lab: Lab, name: str, principal: dict[str, str]) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    policy = orjson.dumps({"Version": "2012-10-17", "Statement": [statement]}).decode()
    made = await lab.query(
        "iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=policy, Path="/team/"
    )
    return first(made.body.decode(), "Arn")


async def test_an_assumed_role_is_a_caller_until_it_expires(lab: Lab) -> None:
    arn = await _role(lab, "dev", {"AWS": f"arn:aws:iam::{lab.cloud.config.account_id}:root"})
    status, body = await _assumed(lab, RoleArn=arn, RoleSessionName="me", DurationSeconds=900)
    assert status == 200
    keys = Keys(*(first(body, t) for t in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
    assert keys.access_key_id.startswith("ASIA")
    said = (await lab.query("sts", "GetCallerIdentity", keys=keys)).body.decode()
    assert first(said, "Arn").endswith(":assumed-role/dev/me")
    assert first(said, "UserId").startswith("AROA")
    assert first(said, "UserId").endswith(":me")
    lab.wall.now_s += 901
    late = await lab.query("sts", "GetCallerIdentity", keys=keys)
    assert first(late.body.decode(), "Code") == "ExpiredToken"


async def test_a_session_dies_with_its_role(lab: Lab) -> None:
    principal = {"AWS": f"arn:aws:iam::{lab.cloud.config.account_id}:root"}
    arn = await _role(lab, "short", principal)
    _, body = await _assumed(lab, RoleArn=arn, RoleSessionName="me")
    keys = Keys(*(first(body, t) for t in ("AccessKeyId", "SecretAccessKey", "SessionToken")))
    await lab.query("iam", "DeleteRole", RoleName="short")
    await _role(lab, "short", principal)
    answer = await lab.query("sts", "GetCallerIdentity", keys=keys)
    assert first(answer.body.decode(), "Code") == "InvalidClientTokenId"


async def test_a_session_needs_its_token(lab: Lab) -> None:
    made = (await lab.query("sts", "GetSessionToken")).body.decode()
    id_and_secret = first(made, "AccessKeyId"), first(made, "SecretAccessKey")
    for token in ("", "forged"):
        answer = await lab.query("sts", "GetCallerIdentity", keys=Keys(*id_and_secret, token))
        assert first(answer.body.decode(), "Code") == "InvalidClientTokenId"
    good = Keys(*id_and_secret, first(made, "SessionToken"))
    answer = await lab.query("sts", "GetCallerIdentity", keys=good)
    assert first(answer.body.decode(), "Arn").endswith(":user/ekslab")


async def test_roles_are_assumed_only_by_whom_they_trust(lab: Lab) -> None:
    for_ec2 = await _role(lab, "machines", {"Service": "ec2.amazonaws.com"})
    missing = f"arn:aws:iam::{lab.cloud.config.account_id}:role/nobody"
    for arn in (for_ec2, missing):
        status, body = await _assumed(lab, RoleArn=arn, RoleSessionName="me")
        assert (status, first(body, "Code")) == (403, "AccessDenied")
        assert "is not authorized to perform: sts:AssumeRole on resource: " + arn in body


async def test_an_inactive_or_deleted_key_is_unknown(lab: Lab) -> None:
    keys = await lab.user("temp")
    assert (await lab.query("sts", "GetCallerIdentity", keys=keys)).status == 200
    own = {"UserName": "temp", "AccessKeyId": keys.access_key_id}
    await lab.query("iam", "UpdateAccessKey", Status="Inactive", **own)
    inactive = await lab.query("sts", "GetCallerIdentity", keys=keys)
    assert first(inactive.body.decode(), "Code") == "InvalidClientTokenId"
    await lab.query("iam", "DeleteAccessKey", **own)
    gone = await lab.query("sts", "GetCallerIdentity", keys=keys)
    assert first(gone.body.decode(), "Code") == "InvalidClientTokenId"


async def test_web_identity_tokens_of_unknown_issuers_are_refused(lab: Lab) -> None:
    body = b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=a&RoleSessionName=b"
    request = AwsRequest(
        "POST", "/", "", (("Content-Type", FORM),), body + b"&WebIdentityToken=x.y.z"
    )
    answer = await lab.cloud.endpoint.handle(request)
    assert (answer.status, first(answer.body.decode(), "Code")) == (400, "InvalidIdentityToken")


async def test_policies_decide_what_a_user_may_do(lab: Lab) -> None:
    nobody = await lab.user("nobody")
    status, body = await lab.eks("GET", "/clusters", keys=nobody)
    assert (status, body["code"]) == (403, "AccessDeniedException")
    assert body["message"].startswith(
        f"User: arn:aws:iam::{lab.cloud.config.account_id}:user/nobody"
    )
    assert "is not authorized to perform: eks:ListClusters" in body["message"]
    refused = await lab.query("ec2", "DescribeVpcs", keys=nobody)
    assert first(refused.body.decode(), "Code") == "UnauthorizedOperation"
    statement = {"Effect": "Allow", "Action": ["eks:List*"], "Resource": "*"}
    reader = await lab.user(
        "reader", orjson.dumps({"Version": "2012-10-17", "Statement": statement}).decode()
    )
    assert (await lab.eks("GET", "/clusters", keys=reader))[0] == 200
    status, _ = await lab.eks("POST", "/clusters", lab.cluster_body(), keys=reader)
    assert status == 403
