"""What no client should send: the code, the reason and the words of the real thing, and no harm.

Texts are those of kube-apiserver 1.3x (`apiserver/pkg/endpoints/handlers`, `apimachinery/pkg/api`)
and of the AWS services' error pages.
"""

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.e2e.lab import Lab
from tests.e2e.wire import Api, admin, session

NAMESPACE = "bad-input"
BASE = f"/api/v1/namespaces/{NAMESPACE}"
MAPS = f"{BASE}/configmaps"
PODS = f"{BASE}/pods"
JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.',"
    " and must start and end with an alphanumeric character (e.g. 'example.com', regex used for"
    " validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
PATHLESS = "the server could not find the requested resource"
METHOD = "the server does not allow this method on the requested resource"
UNRECOGNIZED = "the object provided is unrecognized (must be of type ConfigMap): "
CANNOT = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
TOP = (
    'Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\"";'
    ' Kind string "json:\\"kind,omitempty\\"" }'
)
BROKEN = "couldn't get version/kind; json parse error: "


def config_map(name: str = "new", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}


def pod(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "new"},
        "spec": {"containers": [{"name": "main", "image": "nginx"}], **spec},
    }


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[Api]:
    """The admin, in a namespace with one ConfigMap and one pod that nothing may change."""
    api = admin(lab)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    assert api("POST", "/api/v1/namespaces", body).code == 201
    lab.eventually(lambda: api("GET", f"{BASE}/serviceaccounts/default").code == 200)
    lab.eventually(lambda: api("GET", f"{MAPS}/kube-root-ca.crt").code == 200)
    assert api("POST", MAPS, config_map("kept", data={"a": "1"})).code == 201
    kept = pod(schedulerName="nobody")
    kept["metadata"]["name"] = "kept"
    assert api("POST", PODS, kept).code == 201
    yield api
    assert api("DELETE", f"/api/v1/namespaces/{NAMESPACE}").code == 200


def snapshot(api: Api) -> dict[str, str]:
    found = {}
    for path in (
        MAPS,
        PODS,
        f"{BASE}/services",
        f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments",
    ):
        for item in api("GET", path).body["items"]:
            found[f"{path}/{item['metadata']['name']}"] = item["metadata"]["resourceVersion"]
    return found


BODIES = [
    ("invalid JSON", "POST", MAPS, '{"a": nope}', JSON, 400, "BadRequest",
     UNRECOGNIZED + BROKEN + "invalid character 'o' in literal null (expecting 'u')"
     ' ({"a": nope})'),
    ("an empty body", "POST", MAPS, "", JSON, 400, "BadRequest",
     UNRECOGNIZED + BROKEN + "unexpected end of JSON input (<empty>)"),
    ("a list", "POST", MAPS, "[]", JSON, 400, "BadRequest",
     f"{UNRECOGNIZED}{BROKEN}json: cannot unmarshal array into {TOP} (5b5d)"),
    ("a string", "POST", MAPS, '"x"', JSON, 400, "BadRequest",
     f"{UNRECOGNIZED}{BROKEN}json: cannot unmarshal string into {TOP} (227822)"),
    ("two objects", "POST", MAPS, "{} {}", JSON, 400, "BadRequest",
     UNRECOGNIZED + BROKEN + "invalid character '{' after top-level value ({} {})"),
    ("nested without end", "POST", MAPS, "[" * 100_000, JSON, 400, "BadRequest",
     UNRECOGNIZED + BROKEN + f"exceeded max depth ({'5b' * 30} ...)"),
    ("broken YAML", "POST", MAPS, "{a: [", "application/yaml", 400, "BadRequest", None),
    ("broken protobuf", "POST", MAPS, b"k8s\0\xff\xff", "application/vnd.kubernetes.protobuf",
     400, "BadRequest", None),
    ("another kind", "POST", MAPS, {**config_map(), "kind": "Secret"}, JSON, 400, "BadRequest",
     ('Secret in version "v1" cannot be handled as a ConfigMap: converting (Secret) to (ConfigMap):'
      " unknown conversion")),
    ("another group", "POST", MAPS, {**config_map(), "apiVersion": "apps/v1"}, JSON, 400,
     "BadRequest", None),
    ("a number for a string", "POST", MAPS, config_map(data={"a": 1}), JSON, 400, "BadRequest",
     CANNOT + "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
    ("a list for a map", "POST", MAPS, config_map(data=[1]), JSON, 400, "BadRequest",
     CANNOT + "json: cannot unmarshal array into Go struct field ConfigMap.data of type"
     " map[string]string"),
    ("a string for metadata", "POST", MAPS, config_map(metadata="x"), JSON, 400, "BadRequest",
     CANNOT + "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type"
     " v1.ObjectMeta"),
    ("a quantity that is none", "POST", PODS,
     pod(containers=[{"name": "m", "image": "i", "resources": {"requests": {"cpu": "much"}}}]),
     JSON, 400, "BadRequest",
     ('Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression'
      " '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")),
    ("no name", "POST", MAPS, config_map(metadata={}), JSON, 422, "Invalid",
     'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'),
    ("a bad name", "POST", MAPS, config_map("Bad_Name"), JSON, 422, "Invalid",
     f'ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": {SUBDOMAIN}'),
    ("another namespace", "POST", MAPS,
     config_map(metadata={"name": "x", "namespace": "default"}), JSON, 400, "BadRequest",
     "the namespace of the provided object does not match the namespace sent on the request"),
    ("no such namespace", "POST", "/api/v1/namespaces/nowhere/configmaps", config_map(), JSON,
     404, "NotFound", 'namespaces "nowhere" not found'),
    ("a name that is taken", "POST", MAPS, config_map("kept"), JSON, 409, "AlreadyExists",
     'configmaps "kept" already exists'),
    ("a resourceVersion on create", "POST", MAPS,
     config_map(metadata={"name": "x", "resourceVersion": "5"}), JSON, 400, "BadRequest",
     "resourceVersion should not be set on objects to be created"),
    ("an unknown field, strictly", "POST", MAPS + "?fieldValidation=Strict",
     config_map(bogus=1), JSON, 400, "BadRequest",
     CANNOT + 'strict decoding error: unknown field "bogus"'),
    ("a field twice, strictly", "POST", MAPS + "?fieldValidation=Strict",
     '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1","a":"2"}}',
     JSON, 400, "BadRequest", CANNOT + 'strict decoding error: duplicate field "data.a"'),
    ("no such field validation", "POST", MAPS + "?fieldValidation=Maybe", config_map(), JSON,
     422, "Invalid",
     ('CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Maybe":'
      ' supported values: "", "Ignore", "Strict", "Warn"')),
    ("no such dry run", "POST", MAPS + "?dryRun=Some", config_map(), JSON, 422, "Invalid",
     ('CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: "Some": supported'
      ' values: "All"')),
    ("too large", "POST", MAPS, "x" * (3 * 1024 * 1024 + 1), JSON, 413, "RequestEntityTooLarge",
     "Request entity too large: limit is 3145728"),
    ("a media type nobody knows", "POST", MAPS, config_map(), "text/plain", 415,
     "UnsupportedMediaType",
     ("the body of the request was in an unknown format - accepted media types include:"
      " application/json, application/yaml, application/vnd.kubernetes.protobuf")),
    ("an old resourceVersion", "PUT", MAPS + "/kept",
     config_map(metadata={"name": "kept", "resourceVersion": "1"}), JSON, 409, "Conflict",
     ('Operation cannot be fulfilled on configmaps "kept": the object has been modified; please'
      " apply your changes to the latest version and try again")),
    ("a resourceVersion that is none", "PUT", MAPS + "/kept",
     config_map(metadata={"name": "kept", "resourceVersion": "abc"}), JSON, 422, "Invalid",
     ('ConfigMap "kept" is invalid: metadata.resourceVersion: Invalid value: "abc":'
      ' strconv.ParseUint: parsing "abc": invalid syntax')),
    ("another uid", "PUT", MAPS + "/kept",
     config_map(metadata={"name": "kept", "uid": "x"}), JSON, 409, "Conflict", None),
    ("another name than the URL's", "PUT", MAPS + "/kept", config_map("other"), JSON, 400,
     "BadRequest", "the name of the object (other) does not match the name on the URL (kept)"),
    ("another name than the URL's, of nothing", "PUT", MAPS + "/none", config_map("other"), JSON,
     400, "BadRequest", "the name of the object (other) does not match the name on the URL (none)"),
    ("an update of nothing", "PUT", MAPS + "/none", config_map("none"), JSON, 404, "NotFound",
     'configmaps "none" not found'),
    ("a patch of an unknown type", "PATCH", MAPS + "/kept", {}, JSON, 415,
     "UnsupportedMediaType",
     ("the body of the request was in an unknown format - accepted media types include:"
      " application/json-patch+json, application/merge-patch+json,"
      " application/strategic-merge-patch+json, application/apply-patch+yaml")),
    ("a merge patch that is no JSON", "PATCH", MAPS + "/kept", "nope", MERGE, 400, "BadRequest",
     "error decoding patch: invalid character 'o' in literal null (expecting 'u')"),
    ("a merge patch of wrong types", "PATCH", MAPS + "/kept", {"data": []}, MERGE, 400,
     "BadRequest", None),
    ("a JSON patch that is no list", "PATCH", MAPS + "/kept", {"op": "x"}, JSON_PATCH, 400,
     "BadRequest", "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
    ("a JSON patch of what is not there", "PATCH", MAPS + "/kept",
     [{"op": "remove", "path": "/data/z"}], JSON_PATCH, 422, "Invalid",
     "the server rejected our request due to an error in our request"),
    ("a JSON patch whose test fails", "PATCH", MAPS + "/kept",
     [{"op": "test", "path": "/data/a", "value": "2"}, {"op": "remove", "path": "/data/a"}],
     JSON_PATCH, 422, "Invalid", "the server rejected our request due to an error in our request"),
    ("a strategic patch of wrong types", "PATCH", PODS + "/kept", {"spec": {"containers": "x"}},
     STRATEGIC, 400, "BadRequest", None),
    ("an apply without a manager", "PATCH", MAPS + "/kept", config_map("kept"), APPLY, 422,
     "Invalid",
     ('PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply'
      " patch")),
    ("an apply that is no YAML", "PATCH", MAPS + "/kept?fieldManager=me", "{a: [", APPLY, 400,
     "BadRequest", None),
    ("an image taken away", "PATCH", PODS + "/kept",
     {"spec": {"containers": [{"name": "main", "image": ""}]}}, STRATEGIC, 422, "Invalid",
     'Pod "kept" is invalid: spec.containers[0].image: Required value'),
    ("a propagation nobody knows", "DELETE", MAPS + "/kept", {"propagationPolicy": "Nope"}, JSON,
     422, "Invalid",
     ('DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Nope":'
      ' supported values: "Foreground", "Background", "Orphan", "nil"')),
    ("a delete of another uid", "DELETE", MAPS + "/kept", {"preconditions": {"uid": "x"}}, JSON,
     409, "Conflict", None),
]  # fmt: skip

PATHS = [
    ("nothing of that name", "GET", MAPS + "/none", 404, "NotFound", 'configmaps "none" not found'),
    ("no such resource", "GET", BASE + "/nonsense", 404, "NotFound", PATHLESS),
    ("no such version", "GET", "/apis/apps/v9/deployments", 404, "NotFound", PATHLESS),
    ("no such subresource", "GET", MAPS + "/kept/nonsense", 404, "NotFound", PATHLESS),
    ("a PUT of all", "PUT", MAPS, 405, "MethodNotAllowed", METHOD),
    ("a POST to one", "POST", MAPS + "/kept", 405, "MethodNotAllowed", METHOD),
    ("a PATCH of all", "PATCH", MAPS, 405, "MethodNotAllowed", METHOD),
    ("a POST to all namespaces", "POST", "/api/v1/configmaps", 405, "MethodNotAllowed", METHOD),
    ("a DELETE of componentstatuses", "DELETE", "/api/v1/componentstatuses/x", 405,
     "MethodNotAllowed", METHOD),
    ("a method nobody knows", "OPTIONS", MAPS, 405, "MethodNotAllowed", METHOD),
    ("a label selector without end", "GET", MAPS + "?labelSelector=a%20in%20(", 400, "BadRequest",
     "unable to parse requirement: found '', expected: ',', ')' or identifier"),
    ("a field selector without operator", "GET", MAPS + "?fieldSelector=nope", 400, "BadRequest",
     "invalid selector: 'nope'; can't understand 'nope'"),
    ("a field nobody selects by", "GET", MAPS + "?fieldSelector=spec.x%3Da", 400, "BadRequest",
     '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"'),
    ("a field of pods nobody selects by", "GET", PODS + "?fieldSelector=spec.x%3Da", 400,
     "BadRequest", "field label not supported: spec.x"),
    ("a limit that is none", "GET", MAPS + "?limit=x", 400, "BadRequest",
     'strconv.ParseInt: parsing "x": invalid syntax'),
    ("a continue token that is none", "GET", MAPS + "?limit=1&continue=***", 400, "BadRequest",
     ("invalid continue token: continue key is not valid: illegal base64 data at input byte"
      " 0")),
    ("a resourceVersion that is none", "GET", MAPS + "?resourceVersion=abc", 400, "BadRequest",
     ('invalid resource version: resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing'
      ' "abc": invalid syntax')),
    ("a resourceVersion of the future", "GET", MAPS + "?resourceVersion=99999999999", 504,
     "Timeout", None),
    ("a match without a resourceVersion", "GET", MAPS + "?resourceVersionMatch=Exact", 422,
     "Invalid", None),
    ("a watch with a bad resourceVersion", "GET", MAPS + "?watch=1&resourceVersion=x", 400,
     "BadRequest", None),
    ("a grace period that is none", "DELETE", PODS + "/kept?gracePeriodSeconds=x", 400,
     "BadRequest", None),
]  # fmt: skip


def test_bad_bodies_and_paths_get_upstreams_words_and_change_nothing(api: Api) -> None:
    before = snapshot(api)
    asked = [
        *((name, api(method, path, body, content_type=kind), *expected)
          for name, method, path, body, kind, *expected in BODIES),
        *((name, api(method, path), *expected) for name, method, path, *expected in PATHS),
    ]  # fmt: skip
    wrong = {}
    for name, reply, code, reason, message in asked:
        status = reply.body if reply.content.startswith(b"{") else {}
        got = (reply.code, status.get("reason"), status.get("message"))
        if got != (code, reason, got[2] if message is None else message):
            wrong[name] = got
    assert not wrong
    assert snapshot(api) == before


def test_paths_outside_the_api_are_a_plain_404(api: Api) -> None:
    for path in ("/nonsense", "/apis/no.such/v1/things", "/apis/no.such"):
        reply = api("GET", path)
        assert (reply.code, reply.content) == (404, b"404 page not found\n")
        assert reply.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_what_cannot_be_written_is_not_acceptable(api: Api) -> None:
    for accept in ("text/html", "application/xml;q=0.9", "application/json;as=Nonsense;v=v1;g=x"):
        reply = api("GET", MAPS, headers={"Accept": accept})
        assert reply.reason == (406, "NotAcceptable")
        assert reply.body["message"].startswith("only the following media types are accepted: ")
    assert api("GET", MAPS, headers={"Accept": "text/html, */*;q=0.1"}).code == 200


@pytest.mark.parametrize(
    ("mode", "warnings"),
    [("Ignore", None), ("Warn", '299 - "unknown field \\"bogus\\""'),
     ("", '299 - "unknown field \\"bogus\\""')],
    ids=["Ignore", "Warn", "default"],
)  # fmt: skip
def test_an_unknown_field_is_dropped_and_warned_of_as_asked(
    api: Api, mode: str, warnings: str | None
) -> None:
    query = f"?dryRun=All&fieldValidation={mode}"
    reply = api("POST", MAPS + query, config_map(bogus=1))
    assert (reply.code, reply.headers["Warning"]) == (201, warnings)
    assert "bogus" not in reply.body


def test_what_may_not_change_does_not(api: Api) -> None:
    before = snapshot(api)
    apps = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    labels = {"app": "a"}
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "fixed"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod()["spec"]},
        },
    }
    assert api("POST", apps, body).code == 201
    other = {"spec": {"selector": {"matchLabels": {"app": "b"}},
                      "template": {"metadata": {"labels": {"app": "b"}}}}}  # fmt: skip
    reply = api("PATCH", apps + "/fixed", other, content_type=MERGE)
    assert reply.reason == (422, "Invalid")
    assert reply.body["message"].endswith("field is immutable")
    reply = api("PATCH", PODS + "/kept", {"spec": {"nodeName": "x"}}, content_type=MERGE)
    assert reply.reason == (422, "Invalid")
    assert reply.body["message"].startswith(
        'Pod "kept" is invalid: spec: Forbidden: pod updates may not change fields other than'
    )
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "immutable": True}
    assert api("POST", f"{BASE}/secrets", secret).code == 201
    patch = {"stringData": {"a": "b"}}
    reply = api("PATCH", f"{BASE}/secrets/s", patch, content_type=MERGE)
    assert reply.body["message"] == (
        'Secret "s" is invalid: data: Forbidden: field is immutable when `immutable` is set'
    )
    assert api("DELETE", apps + "/fixed").code == 200
    assert snapshot(api).items() >= before.items()


class Aws:
    """AWS requests as no SDK makes them."""

    def __init__(self, lab: Lab) -> None:
        self.url = lab.environment["AWS_ENDPOINT_URL"]
        self.session = session(lab)

    def client(self, service: str) -> Any:
        careless = Config(parameter_validation=False, retries={"total_max_attempts": 1})
        return self.session.client(service, endpoint_url=self.url, config=careless)

    def refusal(self, service: str, operation: str, **parameters: Any) -> tuple[int, str, str]:
        try:
            getattr(self.client(service), operation)(**parameters)
        except ClientError as error:
            said = error.response["Error"]
            return (
                error.response["ResponseMetadata"]["HTTPStatusCode"],
                said["Code"],
                said["Message"],
            )
        return 200, "", ""

    def raw(
        self,
        service: str,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        keys: Credentials | None = None,
        change: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """Status and body of a signed request; `service` "" leaves it unsigned."""
        request = AWSRequest(method, self.url + path, data=body, headers=dict(headers or {}))
        if service:
            credentials = keys or self.session.get_credentials()
            SigV4Auth(credentials, service, "us-east-1").add_auth(request)
        sent = {**dict(request.headers), **(change or {})}
        asked = urllib.request.Request(
            self.url + path, method=method, data=body or None, headers=sent
        )
        try:
            with urllib.request.urlopen(asked, timeout=30) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                kind = error.headers.get("x-amzn-ErrorType", "")
                return error.code, kind + error.read().decode()


@pytest.fixture(scope="module")
def cloud(lab: Lab) -> Aws:
    return Aws(lab)


ROLE = "arn:aws:iam::123456789012:role/nope"
PATTERN = "failed to satisfy constraint: Member must satisfy regular expression pattern: "
CALLS: list[tuple[str, str, dict[str, Any], int, str, str | None]] = [
    ("eks", "describe_cluster", {"name": "nope"}, 404, "ResourceNotFoundException",
     "No cluster found for name: nope."),
    ("eks", "delete_cluster", {"name": "nope"}, 404, "ResourceNotFoundException",
     "No cluster found for name: nope."),
    ("eks", "describe_nodegroup", {"clusterName": "lab", "nodegroupName": "nope"}, 404,
     "ResourceNotFoundException", "No node group found for name: nope."),
    ("eks", "create_cluster", {"name": "x"}, 400, "InvalidParameterException", None),
    ("eks", "create_cluster",
     {"name": "-x!", "roleArn": ROLE, "resourcesVpcConfig": {"subnetIds": ["subnet-1"]}}, 400,
     "InvalidParameterException",
     f"1 validation error detected: Value '-x!' at 'name' {PATTERN}^[0-9A-Za-z][A-Za-z0-9\\-_]*"),
    ("eks", "create_cluster",
     {"name": "lab", "roleArn": ROLE, "resourcesVpcConfig": {"subnetIds": ["subnet-1"]}}, 409,
     "ResourceInUseException", "Cluster already exists with name: lab"),
    ("eks", "create_cluster",
     {"name": "x", "version": "1.2", "roleArn": ROLE,
      "resourcesVpcConfig": {"subnetIds": ["subnet-1", "subnet-2"]}}, 400,
     "InvalidParameterException", "unsupported Kubernetes version"),
    ("eks", "list_clusters", {"maxResults": 1000}, 400, "InvalidParameterException", None),
    ("eks", "tag_resource",
     {"resourceArn": "arn:aws:eks:us-east-1:123456789012:cluster/nope", "tags": {"a": "b"}}, 404,
     "NotFoundException", None),
    ("ec2", "terminate_instances", {"InstanceIds": ["i-0123456789abcdef0"]}, 400,
     "InvalidInstanceID.NotFound", "The instance ID 'i-0123456789abcdef0' does not exist"),
    ("ec2", "terminate_instances", {"InstanceIds": ["nope"]}, 400,
     "InvalidInstanceID.Malformed", 'Invalid id: "nope"'),
    ("ec2", "terminate_instances", {}, 400, "MissingParameter",
     "The request must contain the parameter instanceIds"),
    ("ec2", "run_instances", {"MinCount": 1, "MaxCount": 1, "ImageId": "ami-nope"}, 400,
     "InvalidAMIID.Malformed", 'Invalid id: "ami-nope"'),
    ("ec2", "create_subnet", {}, 400, "MissingParameter",
     "The request must contain the parameter vpcId"),
    ("ec2", "create_subnet", {"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/24"}, 400,
     "InvalidVpcID.NotFound", None),
    ("ec2", "create_vpc", {"CidrBlock": "nope"}, 400, "InvalidParameterValue", None),
    ("iam", "create_user", {}, 400, "ValidationError",
     ("1 validation error detected: Value null at 'userName' failed to satisfy constraint: Member"
      " must not be null")),
    ("iam", "create_user", {"UserName": "a b!"}, 400, "ValidationError",
     ("The specified value for userName is invalid. It must contain only alphanumeric characters"
      " and/or the following: +=,.@_-")),
    ("iam", "create_user", {"UserName": "x" * 65}, 400, "ValidationError",
     ("1 validation error detected: Value at 'userName' failed to satisfy constraint: Member must"
      " have length less than or equal to 64")),
    ("iam", "create_user", {"UserName": "ekslab"}, 409, "EntityAlreadyExists", None),
    ("iam", "get_role", {"RoleName": "nope"}, 404, "NoSuchEntity", None),
    ("iam", "create_role", {"RoleName": "x", "AssumeRolePolicyDocument": "{x"}, 400,
     "MalformedPolicyDocument", "This policy contains invalid Json"),
    ("sts", "assume_role", {"RoleArn": ROLE}, 400, "ValidationError", None),
    ("sts", "assume_role", {"RoleArn": ROLE, "RoleSessionName": "me"}, 403, "AccessDenied", None),
    ("autoscaling", "create_auto_scaling_group", {}, 400, "ValidationError", None),
    ("dynamodb", "describe_table", {"TableName": "nope"}, 400, "ResourceNotFoundException", None),
    ("s3", "get_object", {"Bucket": "nope-nope", "Key": "x"}, 404, "NoSuchBucket", None),
]  # fmt: skip


def cloud_state(cloud: Aws) -> dict[str, Any]:
    iam, ec2, eks = (cloud.client(name) for name in ("iam", "ec2", "eks"))
    return {
        "users": sorted(u["UserName"] for u in iam.list_users()["Users"]),
        "roles": sorted(r["RoleName"] for r in iam.list_roles()["Roles"]),
        "vpcs": sorted(v["VpcId"] for v in ec2.describe_vpcs()["Vpcs"]),
        "subnets": sorted(s["SubnetId"] for s in ec2.describe_subnets()["Subnets"]),
        "instances": len(ec2.describe_instances()["Reservations"]),
        "clusters": eks.list_clusters()["clusters"],
    }


def test_bad_aws_calls_get_the_services_codes_and_change_nothing(cloud: Aws) -> None:
    before = cloud_state(cloud)
    wrong = {}
    for service, operation, parameters, status, code, message in CALLS:
        got = cloud.refusal(service, operation, **parameters)
        if got != (status, code, got[2] if message is None else message):
            wrong[f"{service} {operation} {parameters}"] = got
    assert not wrong
    assert cloud_state(cloud) == before


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
REST = {"Content-Type": "application/json"}
TARGET = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDB_20120810.Nope"}
RAW: list[tuple[str, tuple[Any, ...], dict[str, Any], int, str]] = [
    ("unsigned", ("", "GET", "/clusters"), {}, 403, "<Code>AccessDenied</Code>"),
    ("unsigned form", ("", "POST", "/", b"Action=DescribeVpcs&Version=2016-11-15", FORM), {}, 401,
     "<Code>AuthFailure</Code>"),
    ("unsigned IAM", ("", "POST", "/", b"Action=ListUsers&Version=2010-05-08", FORM), {}, 403,
     "<Code>MissingAuthenticationToken</Code>"),
    ("another body than signed", ("eks", "POST", "/clusters", b"{}", REST),
     {"change": {"X-Amz-Date": "20200101T000000Z"}}, 403, "InvalidSignatureException"),
    ("unknown key", ("eks", "GET", "/clusters"),
     {"keys": Credentials("AKIAAAAAAAAAAAAAAAAA", "x")}, 403,
     ('UnrecognizedClientException{"message":"The security token included in the request is'
      ' invalid."}')),
    ("invalid JSON", ("eks", "POST", "/clusters", b"{x", REST), {}, 400, "SerializationException"),
    ("a list", ("eks", "POST", "/clusters", b"[]", REST), {}, 400, "SerializationException"),
    ("no UTF-8", ("eks", "POST", "/clusters", b'{"name":"\xff"}', REST), {}, 400,
     "SerializationException"),
    ("nested without end", ("eks", "POST", "/clusters", b"[" * 100_000, REST), {}, 400,
     "SerializationException"),
    ("unknown path", ("eks", "GET", "/nope"), {}, 404, "UnknownOperationException"),
    ("unknown method", ("eks", "PATCH", "/clusters"), {}, 404, "UnknownOperationException"),
    ("another service's path", ("ec2", "GET", "/clusters"), {}, 400, "<Code>MissingAction</Code>"),
    ("no action", ("ec2", "POST", "/", b"Version=2016-11-15", FORM), {}, 400,
     "<Code>MissingAction</Code>"),
    ("unknown EC2 action", ("ec2", "POST", "/", b"Action=Nope&Version=2016-11-15", FORM), {}, 400,
     "<Code>InvalidAction</Code><Message>The action Nope is not valid for this web service."),
    ("unknown IAM action", ("iam", "POST", "/", b"Action=Nope&Version=2010-05-08", FORM), {}, 400,
     "<Code>InvalidAction</Code><Message>Could not find operation Nope for version 2010-05-08"),
    ("unknown STS action", ("sts", "POST", "/", b"Action=Nope&Version=2011-06-15", FORM), {}, 400,
     "<Code>InvalidAction</Code>"),
    ("unknown target", ("dynamodb", "POST", "/", b"{}", TARGET), {}, 400,
     "UnknownOperationException"),
]  # fmt: skip


def test_requests_that_no_sdk_makes_are_refused_in_their_protocol(cloud: Aws) -> None:
    wrong = {}
    for name, asked, more, status, text in RAW:
        got = cloud.raw(*asked, **more)
        if got[0] != status or text not in got[1]:
            wrong[name] = got
    assert not wrong
