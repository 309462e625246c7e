"""The embedded moto as one synchronous function: request in, answer out.

moto's own server needs Flask and guesses the service from the request; here the front has already
found service, region and account. werkzeug alone routes a request to moto's handlers.

Environment, set before the first import of a moto backend (`prepare_environment`): complete dummy
credentials, because moto makes boto3 clients lazily; no `AWS_ENDPOINT_URL`, or they would call us;
AWS's managed IAM policies on.
"""

import functools
import gzip
import io
import os
import re
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

from ekslab.cloud.engine import (
    answers,
    checkpoint,
    data_files,
    determinism,
    images,
    managed_policies,
    paging,
    request_ids,
    shortcuts,
)
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
_BAD_INPUT = (
    "The request could not be processed: something it names does not exist, or a value in it is not"
    " acceptable."
)
_SHOWS_INSTANCES = frozenset({"ec2", "autoscaling", "cloudformation"})
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+")
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
        self._roots: dict[str, Any] = {}

    def start(self) -> None:
        """Import moto (0.5 s) and the EC2 backend's data (1 s), and install our corrections."""
        prepare_environment(os.environ)
        data_files.install()
        determinism.install()
        images.install()
        managed_policies.install()
        answers.install()
        paging.install()
        request_ids.install()
        shortcuts.install()
        from ekslab.cloud.subnets import patching

        patching.install()

    def stop(self) -> None:
        """Drop the account's state."""
        checkpoint.forget(self.account_id)

    def backend(self, service: str, region: str) -> Any:
        """Moto's state of a service; IAM and S3 live in region `aws`."""
        return _backends(service)[self.account_id][region]

    def call(
        self, request: AwsRequest, *, service: str, region: str, seed: str, now_s: float
    ) -> AwsResponse:
        """Let moto answer, with chance from `seed` and the time `now_s`.

        Raises:
            AwsFault: moto does not have the service or the operation, or broke over the request.
        """
        with determinism.seeded(seed, now_s=now_s):
            return self._answer(request, service, region)

    def read(self, request: AwsRequest, *, service: str, region: str, now_s: float) -> AwsResponse:
        """Let moto answer a call that leaves nothing behind, at the time `now_s`.

        Raises:
            AwsFault: as `call`.
        """
        with determinism.at_time(now_s):
            return self._answer(request, service, region)

    def _answer(self, request: AwsRequest, service: str, region: str) -> AwsResponse:
        from botocore.exceptions import ClientError
        from moto.core.exceptions import ServiceException
        from werkzeug.exceptions import HTTPException, NotFound

        from ekslab.cloud.subnets import ended

        module = _moto_module(service, region, request)
        if module is None:
            raise _not_there(f"The service {service} is not available in this lab.")
        if service in _SHOWS_INSTANCES:
            ended.forget(self.backend("ec2", region), determinism.now_s())
        wsgi = _wsgi_request(request, service, region, self.account_id)
        try:
            handler = self._handler(module, wsgi)
            return _response(request, handler(wsgi, wsgi.url, dict(wsgi.headers)))
        except NotFound:
            raise _not_there(
                f"{request.method} {request.raw_path} is not available here."
            ) from None
        except HTTPException as error:
            answer = error.get_response(wsgi.environ)
            return AwsResponse(answer.status_code, tuple(answer.headers), answer.get_data())
        except AwsFault:
            raise  # one of our own corrections refused
        except ServiceException as error:
            raise AwsFault(error.code, error.message) from None
        except ClientError as error:
            details = error.response["Error"]
            raise AwsFault(details["Code"], details["Message"]) from None
        except NotImplementedError as error:
            raise _not_there(str(error) or f"{service}: not available in this lab.") from None
        except Exception as error:  # noqa: BLE001 - moto's mistakes, of any kind
            # moto breaks with plain Python errors over input it did not expect. The client gets
            # the service's word for input that is wrong; the log gets the trace.
            trace = traceback.format_exc(limit=-6)
            _log.warning("moto broke", service=service, error=repr(error), trace=trace)
            raise AwsFault(_word_for_bad_input(request, service), _BAD_INPUT) from None

    def _handler(self, module: str, wsgi: Any) -> Any:
        """Moto's function for this path. Query and JSON services have but one, at `/`."""
        if wsgi.path != "/":
            return self._match(module, wsgi)
        if module not in self._roots:
            self._roots[module] = self._match(module, wsgi)
        return self._roots[module]

    def _match(self, module: str, wsgi: Any) -> Any:
        if module not in self._maps:
            self._maps[module] = self._make_url_map(module)
        handler, _ = self._maps[module].bind_to_environ(wsgi.environ).match()
        return handler

    def _make_url_map(self, module: str) -> Any:
        from werkzeug.routing import BaseConverter, Map, Rule

        class Regex(BaseConverter):
            part_isolating = False

            def __init__(self, url_map: Any, *items: Any) -> None:
                super().__init__(url_map)
                self.regex = items[0]

        if module == "sqs":
            _answer_polls_at_once()
        regions = _backends(module)[self.account_id]
        region = "us-east-1" if "us-east-1" in regions else "aws"
        rules = [
            Rule(path, endpoint=handler, strict_slashes=False)
            for path, handler in regions[region].flask_paths.items()
            if path
        ]
        return Map(rules, converters={"regex": Regex}, merge_slashes=False)


@functools.cache
def _backends(service: str) -> Any:
    """Moto's state of a service, by account and region."""
    from moto.backends import get_backend

    return get_backend(service)  # type: ignore[call-overload]


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


def _word_for_bad_input(request: AwsRequest, service: str) -> str:
    if service == "ec2":
        return "InvalidParameterValue"
    if service == "s3":
        return "InvalidArgument"
    if header(request.headers, "content-type").startswith("application/x-www-form-urlencoded"):
        return "ValidationError"
    return "ValidationException"


def _not_there(message: str) -> AwsFault:
    return AwsFault("NotImplemented", message, status=501)


def _moto_module(service: str, region: str, request: AwsRequest) -> str | None:
    """Moto's name for the service behind a signing name."""
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
    return _module_of_host(host)


@functools.lru_cache(maxsize=1024)
def _module_of_host(host: str) -> str | None:
    import moto.backend_index

    for backend, pattern in moto.backend_index.backend_url_patterns:
        if pattern.match(host):
            return str(backend)
    return None


def _wsgi_request(request: AwsRequest, service: str, region: str, account_id: str) -> Any:
    from werkzeug.wrappers import Request

    environ: dict[str, Any] = {}
    for name, value in request.headers:
        key = "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    body = request.body
    if service != "s3" and environ.get("HTTP_CONTENT_ENCODING") == "gzip":
        body = gzip.decompress(body)
        del environ["HTTP_CONTENT_ENCODING"]
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
    host = environ.get("HTTP_HOST", "")
    raw_uri = request.raw_path + (f"?{request.query}" if request.query else "")
    path = re.sub("^//+", "/", request.raw_path) or "/"
    environ |= {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),  # WSGI carries bytes as latin-1
        "QUERY_STRING": request.query,
        "RAW_URI": raw_uri,
        "REQUEST_URI": raw_uri,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": host if _HOST.fullmatch(host) else "localhost",
        # moto finds the region in the user agent first, and obeys a header naming the account.
        "HTTP_USER_AGENT": f"region/{region}",
        "HTTP_X_MOTO_ACCOUNT_ID": account_id,
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
    }
    return Request(environ)


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
