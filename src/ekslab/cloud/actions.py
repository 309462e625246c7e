"""What a request asks for in the words of IAM: action, resource, condition keys."""

from collections.abc import Mapping
from urllib.parse import unquote

import orjson

from ekslab.cloud.gateway.policies import Question
from ekslab.cloud.gateway.routing import Route
from ekslab.cloud.identities import Caller
from ekslab.cloud.ports import AwsRequest
from ekslab.kit.clock import rfc3339

_PREFIXES = {"monitoring": "cloudwatch", "email": "ses", "eventbridge": "events"}
# S3 operations whose permission has another name.
_S3_ACTIONS = {
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
    "ListBuckets": "ListAllMyBuckets",
}
_IAM_NAMES = {"RoleName": "role", "UserName": "user", "GroupName": "group"}


def question_for(route: Route, request: AwsRequest, caller: Caller, *, now_s: float) -> Question:
    """The question that the caller's policies must answer."""
    prefix = _PREFIXES.get(route.service, route.service)
    action = route.action or "?"
    if route.service == "s3":
        action = _S3_ACTIONS.get(action, action)
    context = {
        "aws:principalarn": [caller.principal],
        "aws:principalaccount": [caller.account],
        "aws:userid": [caller.user_id],
        "aws:requestedregion": [route.region],
        "aws:securetransport": ["true" if request.tls else "false"],
        "aws:sourceip": ["127.0.0.1"],
        "aws:currenttime": [rfc3339(now_s)],
        "aws:epochtime": [str(int(now_s))],
        **_request_tags(route, request),
    }
    if ":user/" in caller.arn:
        context["aws:username"] = [caller.arn.rpartition("/")[2]]
    return Question(f"{prefix}:{action}", _resource(route, caller), context)


def _resource(route: Route, caller: Caller) -> str | None:
    """The ARN a request is about, where that can be told without looking into state."""
    labels = route.parameters
    if route.service == "eks":
        return _eks_resource(route, caller, labels)
    if route.service == "s3":
        bucket, key = labels.get("Bucket"), labels.get("Key")
        if not bucket:
            return "*"
        return f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}"
    if route.service == "iam":
        for name, kind in _IAM_NAMES.items():
            if name in labels:
                return f"arn:aws:iam::{caller.account}:{kind}/{labels[name]}"
    return None


def _eks_resource(route: Route, caller: Caller, labels: Mapping[str, str]) -> str | None:
    if "resourceArn" in labels:
        return unquote(labels["resourceArn"])
    name = labels.get("name")
    if not name:
        return None
    prefix = f"arn:aws:eks:{route.region}:{caller.account}"
    if "nodegroupName" in labels:
        return f"{prefix}:nodegroup/{name}/{labels['nodegroupName']}/*"
    return f"{prefix}:cluster/{name}"


def _request_tags(route: Route, request: AwsRequest) -> dict[str, list[str]]:
    """`aws:RequestTag/KEY` and `aws:TagKeys` of JSON bodies that carry tags."""
    if route.service != "eks" or not request.body:
        return {}
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return {}
    tags = body.get("tags") if isinstance(body, dict) else None
    if not isinstance(tags, dict):
        return {}
    context = {f"aws:requesttag/{str(key).lower()}": [str(value)] for key, value in tags.items()}
    return {**context, "aws:tagkeys": [str(key) for key in tags]}
