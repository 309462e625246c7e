"""Options of a request, parsed and checked once.

Upstream decodes query parameters into ListOptions, CreateOptions, ... and validates them
(`apimachinery/pkg/apis/meta/internalversion/validation`, `.../meta/v1/validation`); the words of
its refusals are kept here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from ekslab.kube.api.errors import ApiError, Cause, bad_request, invalid
from ekslab.kube.api.requests import ApiRequest

_META_GROUP: Final = "meta.k8s.io"
_MANAGER_LONGEST: Final = 128
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "false", "FALSE", "False"})
EXACT: Final = "Exact"
NOT_OLDER_THAN: Final = "NotOlderThan"
_PROPAGATIONS: Final = ("Foreground", "Background", "Orphan")
APPLY: Final = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Options of create, update and patch."""

    dry_run: bool
    field_manager: str
    field_validation: str
    force: bool


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Options of list, watch and deletecollection. `revision` is None where none was given."""

    label_selector: str
    field_selector: str
    limit: int
    continue_token: str
    revision: int | None
    match: str
    timeout_s: int | None
    bookmarks: bool
    initial_events: bool | None


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Options of delete and deletecollection; `propagation` is "" where none was given."""

    dry_run: bool
    grace_period_s: int | None
    propagation: str
    uid: str
    resource_version: str


def _refuse(kind: str, causes: list[Cause]) -> ApiError:
    return invalid(_META_GROUP, kind, "", causes)


def flag(options: Mapping[str, str], name: str) -> bool | None:
    """A boolean query parameter as Go's `strconv.ParseBool` reads it; "" counts as true."""
    text = options.get(name)
    if text is None:
        return None
    if text in _FALSE:
        return False
    if text in _TRUE or not text:
        return True
    message = f'strconv.ParseBool: parsing "{text}": invalid syntax'
    raise bad_request(message)


def integer(options: Mapping[str, str], name: str) -> int | None:
    """An integer query parameter."""
    text = options.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def manager_of(request: ApiRequest) -> str:
    """The field manager: named by the caller, else the first part of its User-Agent.

    Without either it is "unknown" (`managedfields/internal/buildmanagerinfo.go`).
    """
    named = request.options.get("fieldManager")
    if named:
        return named
    return _manager_by_agent(request.user_agent)


def _manager_by_agent(user_agent: str) -> str:
    prefix = user_agent.partition("/")[0]
    return "".join(char for char in prefix if char.isprintable())[:_MANAGER_LONGEST] or "unknown"


def _dry_run_causes(values: str) -> list[Cause]:
    if values in {"", "All"}:
        return []
    message = f'Unsupported value: "{values}": supported values: "All"'
    return [Cause("dryRun", message, "FieldValueNotSupported")]


def _manager_causes(options: Mapping[str, str]) -> list[Cause]:
    named = options.get("fieldManager", "")
    causes = []
    if len(named.encode()) > _MANAGER_LONGEST:
        message = f"Too long: may not be more than {_MANAGER_LONGEST} bytes"
        causes.append(Cause("fieldManager", message, "FieldValueTooLong"))
    if any(not char.isprintable() for char in named):
        message = f'Invalid value: "{named}": should only contain printable characters'
        causes.append(Cause("fieldManager", message))
    return causes


_KIND_OF_VERB: Final = {"create": "CreateOptions", "update": "UpdateOptions"}


@lru_cache(maxsize=1024)
def _plain_options(user_agent: str) -> WriteOptions:
    """The options of a write that names none."""
    return WriteOptions(
        dry_run=False,
        field_manager=_manager_by_agent(user_agent),
        field_validation="Warn",
        force=False,
    )


def write_options(request: ApiRequest) -> WriteOptions:
    """Options of a create, update or patch.

    Raises:
        ApiError: 422 in upstream's words.
    """
    options = request.options
    applying = request.verb == "patch" and request.content_type.startswith(APPLY)
    if not options and not applying:
        return _plain_options(request.user_agent)
    dry_run = options.get("dryRun", "")
    causes = _dry_run_causes(dry_run) + _manager_causes(options)
    mode = options.get("fieldValidation", "")
    if mode not in {"", "Ignore", "Warn", "Strict"}:
        message = f'Unsupported value: "{mode}": supported values: "", "Ignore", "Strict", "Warn"'
        causes.append(Cause("fieldValidation", message, "FieldValueNotSupported"))
    force = flag(options, "force")
    if applying and not options.get("fieldManager"):
        message = "Required value: is required for apply patch"
        causes.append(Cause("fieldManager", message, "FieldValueRequired"))
    if request.verb == "patch" and not applying and force is not None:
        message = "Forbidden: may not be specified for non-apply patch"
        causes.append(Cause("force", message, "FieldValueForbidden"))
    if causes:
        raise _refuse(_KIND_OF_VERB.get(request.verb, "PatchOptions"), causes)
    return WriteOptions(
        dry_run=bool(dry_run),
        field_manager=manager_of(request),
        field_validation=mode or "Warn",
        force=bool(force),
    )


def parse_revision(text: str) -> int | None:
    """A resourceVersion parameter; None if there is none.

    Raises:
        ApiError: 400 if it is no number.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        message = (
            f'invalid resource version: resourceVersion: Invalid value: "{text}":'
            f' strconv.ParseUint: parsing "{text}": invalid syntax'
        )
        raise bad_request(message)
    return int(text)


def list_options(request: ApiRequest) -> ListOptions:
    """Options of a list or watch.

    Raises:
        ApiError: 400 or 422 in upstream's words.
    """
    options = request.options
    watching = request.verb == "watch"
    initial = flag(options, "sendInitialEvents")
    match = options.get("resourceVersionMatch", "")
    limit = integer(options, "limit") or 0
    causes = _match_causes(options, match=match, initial=initial, watching=watching)
    if causes:
        raise _refuse("ListOptions", causes)
    return ListOptions(
        label_selector=options.get("labelSelector", ""),
        field_selector=options.get("fieldSelector", ""),
        limit=max(0, limit),
        continue_token=options.get("continue", ""),
        revision=parse_revision(options.get("resourceVersion", "")),
        match=match,
        timeout_s=integer(options, "timeoutSeconds"),
        bookmarks=bool(flag(options, "allowWatchBookmarks")),
        initial_events=initial,
    )


def _match_causes(
    options: Mapping[str, str], *, match: str, initial: bool | None, watching: bool
) -> list[Cause]:
    """The table of `ValidateListOptions`: which parameters go together."""
    field = "resourceVersionMatch"

    def forbidden(name: str, why: str) -> list[Cause]:
        return [Cause(name, f"Forbidden: {why}", "FieldValueForbidden")]

    if initial is not None:
        if not watching:
            return forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")
        if match != NOT_OLDER_THAN:
            why = f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER_THAN}"
            return forbidden(field, why)
        return []
    if not match:
        return []
    if watching:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        return forbidden(field, why)
    if not options.get("resourceVersion"):
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        return forbidden(field, why)
    if options.get("continue"):
        return forbidden(field, "resourceVersionMatch is forbidden when continue is provided")
    if match not in {EXACT, NOT_OLDER_THAN}:
        text = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"'
        return [Cause(field, text, "FieldValueNotSupported")]
    if match == EXACT and options.get("resourceVersion") == "0":
        return forbidden(field, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    return []


def delete_options(request: ApiRequest, body: Mapping[str, Any]) -> DeleteOptions:
    """Options of a delete: the body's DeleteOptions, else the query parameters.

    Raises:
        ApiError: 422 in upstream's words.
    """
    options = request.options
    from_body = bool(body)
    preconditions = body.get("preconditions") or {}
    if from_body:
        grace = body.get("gracePeriodSeconds")
        propagation = body.get("propagationPolicy") or ""
        orphan = body.get("orphanDependents")
        dry_run = ",".join(body.get("dryRun") or ()) or options.get("dryRun", "")
    else:
        grace = integer(options, "gracePeriodSeconds")
        propagation = options.get("propagationPolicy", "")
        orphan = flag(options, "orphanDependents")
        dry_run = options.get("dryRun", "")
    causes = []
    if propagation and orphan is not None:
        text = (
            f'Invalid value: "{propagation}": orphanDependents and deletionPropagation'
            " cannot be both set"
        )
        causes.append(Cause("propagationPolicy", text))
    elif propagation and propagation not in _PROPAGATIONS:
        text = (
            f'Unsupported value: "{propagation}": supported values:'
            ' "Foreground", "Background", "Orphan", "nil"'
        )
        causes.append(Cause("propagationPolicy", text, "FieldValueNotSupported"))
    causes += _dry_run_causes(dry_run)
    if causes:
        raise _refuse("DeleteOptions", causes)
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    return DeleteOptions(
        dry_run=bool(dry_run),
        grace_period_s=grace,
        propagation=propagation,
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
    )
