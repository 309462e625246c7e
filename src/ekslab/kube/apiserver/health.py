"""Health of one API server: `/healthz`, `/livez`, `/readyz`, whole and check by check.

Upstream: `apiserver/pkg/server/healthz/healthz.go`. Only checks of what exists here are named:
`etcd` asks our store whether a write would be durable, `shutdown` fails from the moment the server
begins to end, the hooks after the start have run before the first request can come.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from ekslab.kube.api import errors
from ekslab.kube.api.ports import Answer, Document
from ekslab.kube.api.requests import ApiRequest
from ekslab.kube.store.port import StoreError

ENDPOINTS: Final = ("healthz", "livez", "readyz")
Check = Callable[[], None]
Checks = Mapping[str, Check]
_TEXT: Final = "text/plain; charset=utf-8"
_HOOKS: Final = tuple(
    f"poststarthook/{hook}"
    for hook in (
        "start-apiserver-admission-initializer",
        "start-system-namespaces-controller",
        "start-cluster-authentication-info-controller",
        "rbac/bootstrap-roles",
        "scheduling/bootstrap-system-priority-classes",
        "priority-and-fairness-config-producer",
        "bootstrap-controller",
    )
)


class CheckedStore(Protocol):
    """What is asked of the store."""

    def check(self) -> None:
        """Succeed if a write would be durable now.

        Raises:
            StoreError: it would not.
        """


class CheckFailedError(Exception):
    """A check that fails; the text is for the log, not for whoever asks."""


class Health:
    """The checks of one API server."""

    def __init__(self, store: CheckedStore) -> None:
        self.is_ending = False
        """Set when the server begins to end: `/readyz` fails before anything stops."""
        self._store = store
        fine: dict[str, Check] = {"ping": _pass, "log": _pass, "etcd": self._etcd}
        hooks: dict[str, Check] = dict.fromkeys(_HOOKS, _pass)
        ready: dict[str, Check] = {"etcd-readiness": self._etcd, "informer-sync": _pass}
        self._checks: Mapping[str, Checks] = {
            "healthz": fine | hooks,
            "livez": fine | hooks,
            "readyz": fine | ready | hooks | {"shutdown": self._shutdown},
        }

    def paths(self) -> list[str]:
        """The path of every check."""
        return [
            f"/{endpoint}{check}"
            for endpoint, checks in self._checks.items()
            for check in ("", *(f"/{name}" for name in checks))
        ]

    def answer(self, endpoint: str, check: str, request: ApiRequest) -> Answer:
        """Run all checks of an endpoint, or the one that is named.

        Raises:
            ApiError: 404, there is no such check.
        """
        checks = self._checks[endpoint]
        if not check:
            return self._all(endpoint, request)
        if check not in checks:
            raise errors.path_not_found()
        try:
            checks[check]()
        except CheckFailedError as error:
            return _text(500, f"internal server error: {error}\n")
        return _text(200, "ok")

    def _all(self, endpoint: str, request: ApiRequest) -> Answer:
        asked = request.options.get("exclude", "")
        excluded = dict.fromkeys(asked.split(",")) if "exclude" in request.options else {}
        lines, failed = [], False
        for name, check in self._checks[endpoint].items():
            if name in excluded:
                del excluded[name]
                lines.append(f"[+]{name} excluded: ok\n")
                continue
            try:
                check()
            except CheckFailedError:
                # The endpoint is public: why is in the single check, which is not.
                failed = True
                lines.append(f"[-]{name} failed: reason withheld\n")
            else:
                lines.append(f"[+]{name} ok\n")
        if excluded:
            names = ", ".join(f'"{name}"' for name in excluded)
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}\n")
        if failed:
            return _text(500, f"{''.join(lines)}{endpoint} check failed\n")
        if "verbose" not in request.options:
            return _text(200, "ok")
        return _text(200, f"{''.join(lines)}{endpoint} check passed\n")

    def _etcd(self) -> None:
        try:
            self._store.check()
        except StoreError as error:
            raise CheckFailedError(f"etcd failed: {error}") from error

    def _shutdown(self) -> None:
        if self.is_ending:
            raise CheckFailedError("process is shutting down")


def _pass() -> None:
    """What it asks is true of every server that answers."""


def _text(code: int, text: str) -> Answer:
    return Answer(code=code, document=Document(text.encode(), _TEXT))
