"""Where a webhook is: by URL or by Service.

Upstream: apiserver `pkg/util/webhook/validation.go`.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.apiserver.kinds.field_errors import invalid, required

Part = Mapping[str, Any]

_FORM: Final = "; desired format: https://host[/path]"
_PORT: Final = "port is not valid: must be between 1 and 65535, inclusive"


def validate_client(config: Part, at: str, causes: list[Cause]) -> None:
    """Append what is wrong with a WebhookClientConfig."""
    if ("url" in config) == ("service" in config):
        causes.append(required(at, "exactly one of url or service is required"))
    elif "url" in config:
        _validate_url(config["url"], f"{at}.url", causes)
    else:
        _validate_service(config["service"], f"{at}.service", causes)


def _validate_url(url: str, at: str, causes: list[Cause]) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # a bad one is only found when it is asked for
    except ValueError as error:
        causes.append(required(at, f"url must be a valid URL: {error}{_FORM}"))
        return
    if parts.scheme != "https":
        why = f"'https' is the only allowed URL scheme{_FORM}"
        causes.append(invalid(at, parts.scheme, why))
    if not parts.hostname:
        causes.append(invalid(at, parts.netloc, f"host must be specified{_FORM}"))
    for what, value in (
        ("user information is", parts.netloc.rpartition("@")[0]),
        ("fragments are", parts.fragment),
        ("query parameters are", parts.query),
    ):
        if value:
            causes.append(invalid(at, value, f"{what} not permitted in the URL"))


def _validate_service(service: Part, at: str, causes: list[Cause]) -> None:
    causes.extend(
        required(f"{at}.{field}", f"service {field} is required")
        for field in ("name", "namespace")
        if not service.get(field)
    )
    port = service.get("port", 443)
    if not 0 < port < 65536:
        causes.append(invalid(f"{at}.port", port, _PORT))
    path = service.get("path") or "/"
    if path == "/":
        return
    if not path.startswith("/"):
        causes.append(invalid(f"{at}.path", path, "must start with a '/'"))
    for index, step in enumerate(path[1:].removesuffix("/").split("/")):
        if not step:
            causes.append(invalid(f"{at}.path", path, f"segment[{index}] may not be empty"))
            continue
        causes.extend(
            invalid(f"{at}.path", path, f"segment[{index}]: {why}")
            for why in names.is_dns1123_subdomain(step)
        )
