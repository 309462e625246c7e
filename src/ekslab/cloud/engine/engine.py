"""The embedded moto as one synchronous function: request in, answer out.

moto's own server needs Flask and guesses the service from the request; here the front has already
found service, region and account. werkzeug alone routes a request to moto's handlers.

Environment, set before the first import of a moto backend (`prepare_environment`): complete dummy
credentials, because moto makes boto3 clients lazily; no `AWS_ENDPOINT_URL`, or they would call us;
AWS's managed IAM policies on.
"""

import os
import re
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any

from ekslab.cloud.engine import checkpoint, determinism, images, managed_policies
from ekslab.cloud.gateway.faults import AwsFault
from ekslab.cloud.gateway.sigv4 import header
from ekslab.cloud.ports import AwsRequest, AwsResponse
from ekslab.kit import logs

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "moto",
    "AWS_SECRET_ACCESS_KEY": "moto",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    # moto would answer calls for regions it does not know with an internal error otherwise.
    "MOTO_ALLOW_NONEXISTENT_REGION": "false",
}
_UNWANTED = ("AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_PROFILE", "MOTO_ACCOUNT_ID")

# Their answers hold keys made by OpenSSL: no seed reproduces them. "*" means every write.
NOT_REPLAYABLE = frozenset(
    {
        ("ec2", "CreateKeyPair"),
        ("acm", "*"),
        ("acm-pca", "*"),
        ("kms", "*"),
        ("cognito-idp", "*"),
        ("iot", "*"),
        ("cloudfront", "*"),
        ("lambda", "*"),
        ("apigateway", "*"),
        ("iam", "CreateVirtualMFADevice"),
    }
)
_ALIASES = {
    "eventbridge": "events",
    "execute-api": "iot",
    "iotdata": "data.iot",
    "mobiletargeting": "pinpoint",
}
_log = logs.get("cloud.engine")


def prepare_environment(environment: MutableMapping[str, str]) -> None:
    """Set what moto reads when it is imported; drop what would lead it astray."""
    for name in _UNWANTED:
        environment.pop(name, None)
    environment.update(_ENVIRONMENT)


class Engine:
    """moto for one account of this process.

    moto's state is global to the process: two engines in one process must have two accounts.
    """

    def __init__(self, account_id: str) -> None:
        self.account_id = account_id
        self._maps: dict[str, Any] = {}

    def start(self) -> None:
        """Import moto (0.5 s) and the EC2 backend's data (1 s), and install our corrections."""
        prepare_environment(os.environ)
        determinism.install()
        images.install()
        managed_policies.install()
        from ekslab.cloud.subnets import patching

        patching.install()

    def stop(self) -> None:
        """Drop the account's state."""
        checkpoint.forget(self.account_id)

    def backend(self, service: str, region: str) -> Any:
        """Moto's state of a service; IAM and S3 live in region `aws`."""
        from moto.backends import get_backend

        return get_backend(service)[self.account_id][region]  # type: ignore[call-overload]

    def call(
        self, request: AwsRequest, *, service: str, region: str, seed: str, now_s: float
    ) -> AwsResponse:
        """Let moto answer, with chance from `seed` and the time `now_s`.

        Raises:
            AwsFault: moto does not have the service or the operation, or broke over the request.
        """
        with determinism.seeded(seed, now_s=now_s):
            return self._answer(request, service, region)

    def _answer(self, request: AwsRequest, service: str, region: str) -> AwsResponse:
        from botocore.exceptions import ClientError
        from moto.core.exceptions import ServiceException
        from werkzeug.exceptions import HTTPException, NotFound

        module = _moto_module(service, region, request)
        if module is None:
            raise _not_there(f"The service {service} is not available in this lab.")
        wsgi = _wsgi_request(request, service, region, self.account_id)
        try:
            handler, _ = self._url_map(module).bind_to_environ(wsgi.environ).match()
            return _response(request, handler(wsgi, wsgi.url, dict(wsgi.headers)))
        except NotFound:
            raise _not_there(
                f"{request.method} {request.raw_path} is not available here."
            ) from None
        except HTTPException as error:
            answer = error.get_response(wsgi.environ)
            return AwsResponse(answer.status_code, tuple(answer.headers), answer.get_data())
        except ServiceException as error:
            raise AwsFault(error.code, error.message) from None
        except ClientError as error:
            details = error.response["Error"]
            raise AwsFault(details["Code"], details["Message"]) from None
        except NotImplementedError as error:
            raise _not_there(str(error) or f"{service}: not available in this lab.") from None
        except Exception as error:  # noqa: BLE001 - moto's mistakes, of any kind
            # moto breaks with plain Python errors over input it did not expect. The client gets
            # an error of its own making; the log gets the trace.
            trace = traceback.format_exc(limit=-6)
            _log.warning("moto broke", service=service, path=request.raw_path, trace=trace)
            raise AwsFault(
                "InvalidParameterValue", f"The request could not be handled: {error!r}", status=400
            ) from None

    def _url_map(self, module: str) -> Any:
        found = self._maps.get(module)
        if found is None:
            found = self._maps[module] = self._make_url_map(module)
        return found

    def _make_url_map(self, module: str) -> Any:
        from moto.backends import get_backend
        from werkzeug.routing import BaseConverter, Map, Rule

        class Regex(BaseConverter):
            part_isolating = False

            def __init__(self, url_map: Any, *items: Any) -> None:
                super().__init__(url_map)
                self.regex = items[0]

        if module == "sqs":
            _answer_polls_at_once()
        regions = get_backend(module)[self.account_id]  # type: ignore[call-overload]
        region = "us-east-1" if "us-east-1" in regions else "aws"
        rules = [
            Rule(path, endpoint=handler, strict_slashes=False)
            for path, handler in regions[region].flask_paths.items()
            if path
        ]
        return Map(rules, converters={"regex": Regex}, merge_slashes=False)


def _answer_polls_at_once() -> None:
    """A long poll in moto sleeps in the calling thread, which here serves everybody."""
    from moto.sqs import models

    backend: Any = models.SQSBackend
    original = backend.receive_message
    if getattr(backend, "_ekslab_at_once", False):
        return

    def receive(self: Any, queue: str, count: int, _wait_s: int, *args: Any, **more: Any) -> Any:
        more.pop("wait_seconds_timeout", None)
        return original(self, queue, count, 0, *args, **more)

    backend.receive_message = receive
    backend._ekslab_at_once = True  # noqa: SLF001 - our own mark


def _not_there(message: str) -> AwsFault:
    return AwsFault("NotImplemented", message, status=501)


def _moto_module(service: str, region: str, request: AwsRequest) -> str | None:
    """Moto's name for the service behind a signing name."""
    import moto.backend_index

    name = _ALIASES.get(service, service)
    if name == "dynamodb":
        target = header(request.headers, "x-amz-target")
        return "dynamodbstreams" if target.startswith("DynamoDBStreams") else "dynamodb"
    if name == "s3" and request.raw_path.startswith("/v20180820/"):
        return "s3control"
    if name in {"dsql", "s3vectors"}:
        host = f"http://{name}.{region}.api.aws"
    elif name in {"budgets", "cloudfront"}:
        host = f"http://{name}.amazonaws.com"
    elif name == "ses" and request.raw_path.startswith("/v2/"):
        host = f"http://sesv2.{region}.amazonaws.com"
    else:
        host = f"http://{name}.{region}.amazonaws.com"
    for backend, pattern in moto.backend_index.backend_url_patterns:
        if pattern.match(host):
            return str(backend)
    return None


def _wsgi_request(request: AwsRequest, service: str, region: str, account_id: str) -> Any:
    from werkzeug.test import EnvironBuilder
    from werkzeug.wrappers import Request

    # moto finds the region in the user agent first, and obeys a header that names the account.
    dropped = {"user-agent", "x-moto-account-id", "host", "content-length", "transfer-encoding"}
    headers = [(name, value) for name, value in request.headers if name.lower() not in dropped]
    headers += [("User-Agent", f"region/{region}"), ("x-moto-account-id", account_id)]
    host = header(request.headers, "host") or "localhost"
    body = request.body
    if service != "s3" and header(request.headers, "content-encoding") == "gzip":
        import gzip

        body = gzip.decompress(body)
        headers = [(name, value) for name, value in headers if name.lower() != "content-encoding"]
    environ = EnvironBuilder(
        method=request.method,
        path=re.sub("^//+", "/", request.raw_path) or "/",
        query_string=request.query,
        base_url=f"http://{_safe_host(host)}/",
        headers=headers,
        data=body,
    ).get_environ()
    query = f"?{request.query}" if request.query else ""
    environ["RAW_URI"] = environ["REQUEST_URI"] = request.raw_path + query
    return Request(environ)


def _safe_host(host: str) -> str:
    return host if re.fullmatch(r"[A-Za-z0-9.:\[\]-]+", host) else "localhost"


def _response(request: AwsRequest, result: Any) -> AwsResponse:
    status, headers, content = result if isinstance(result, tuple) else (200, {}, result)
    body = content.encode() if isinstance(content, str) else bytes(content or b"")
    plain: Mapping[str, Any] = headers
    kept = [
        (name, str(value))
        for name, value in plain.items()
        if name.lower() not in {"content-length", "server", "date"} or request.method == "HEAD"
    ]
    if not any(name.lower() == "content-type" for name, _ in kept):
        kept.append(("Content-Type", "text/xml; charset=utf-8"))
    return AwsResponse(int(status), tuple(kept), body)
