"""Acting as somebody else: `kubectl --as`, `--as-group`, `--as-uid`.

Upstream: apiserver `pkg/endpoints/filters/impersonation`. Who asks must be allowed the verb
`impersonate` on everything the headers name (users, groups, serviceaccounts, uids, userextras);
from then on the request is the other one's, and nothing of the asker is left in it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from ekslab.kube.api import errors
from ekslab.kube.api.requests import ANONYMOUS, Attributes, UserInfo
from ekslab.kube.api.well_known import AUTHENTICATED_GROUP

_PREFIX: Final = "impersonate-"
_EXTRA: Final = "extra-"
_UNAUTHENTICATED: Final = "system:unauthenticated"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_GROUP: Final = "authentication.k8s.io"


@dataclass(slots=True)
class Wanted:
    """Whom the headers name."""

    user: str = ""
    uid: str = ""
    groups: list[str] = field(default_factory=list)
    extra: dict[str, list[str]] = field(default_factory=dict)


def acting_as(
    asker: UserInfo, headers: Sequence[tuple[str, str]], check: Callable[[Attributes], None]
) -> UserInfo:
    """The user a request acts as. `headers` are those that begin with `impersonate-`, in order.

    `check` is asked about each thing named and raises the 403.

    Raises:
        ApiError: 403 from `check`; 400 if groups, a uid or extras are named without a user
            (upstream answers that with a 500, which no client's mistake shall cause here).
    """
    wanted = _read(headers)
    if not wanted.user:
        if wanted.groups or wanted.uid or wanted.extra:
            raise errors.bad_request("requested groups, uid or extra without impersonating a user")
        return asker
    for attributes in _questions(asker, wanted):
        check(attributes)
    return UserInfo(
        name=wanted.user,
        groups=_groups(wanted),
        uid=wanted.uid,
        extra={key: tuple(values) for key, values in wanted.extra.items()},
    )


def _read(headers: Sequence[tuple[str, str]]) -> Wanted:
    wanted = Wanted()
    for name, value in headers:
        what = name.removeprefix(_PREFIX)
        if what == "user":
            wanted.user = value
        elif what == "uid":
            wanted.uid = value
        elif what == "group":
            wanted.groups.append(value)
        elif what.startswith(_EXTRA):
            # Keys come percent-encoded where a header's name could not hold them.
            wanted.extra.setdefault(unquote(what.removeprefix(_EXTRA)), []).append(value)
    return wanted


def _questions(asker: UserInfo, wanted: Wanted) -> Iterator[Attributes]:
    account = _account(wanted.user)
    if account is not None:
        yield _question(asker, "serviceaccounts", account[1], namespace=account[0])
    else:
        yield _question(asker, "users", wanted.user)
    for name in wanted.groups:
        yield _question(asker, "groups", name)
    for key, values in wanted.extra.items():
        for value in values:
            yield _question(asker, "userextras", value, group=_GROUP, subresource=key)
    if wanted.uid:
        yield _question(asker, "uids", wanted.uid, group=_GROUP)


def _question(
    asker: UserInfo,
    resource: str,
    name: str,
    *,
    namespace: str = "",
    group: str = "",
    subresource: str = "",
) -> Attributes:
    return Attributes(
        user=asker,
        verb="impersonate",
        group=group,
        version="v1",
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
    )


def _account(user: str) -> tuple[str, str] | None:
    """Namespace and name of a service account's user name."""
    if not user.startswith(_SERVICE_ACCOUNT):
        return None
    namespace, _, name = user.removeprefix(_SERVICE_ACCOUNT).partition(":")
    return (namespace, name) if namespace and name and ":" not in name else None


def _groups(wanted: Wanted) -> tuple[str, ...]:
    """The groups named and those that follow from the user, as upstream adds them."""
    groups = list(wanted.groups)
    account = _account(wanted.user)
    if account is not None and not groups:
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
    if wanted.user == ANONYMOUS.name:
        added = () if _UNAUTHENTICATED in groups else (_UNAUTHENTICATED,)
    else:
        known = {AUTHENTICATED_GROUP, _UNAUTHENTICATED}
        added = () if known & set(groups) else (AUTHENTICATED_GROUP,)
    return (*groups, *added)
