"""Options of a request, parsed and checked once.

Upstream decodes query parameters into ListOptions, CreateOptions, ... and validates them
(`apimachinery/pkg/apis/meta/internalversion/validation`, `.../meta/v1/validation`); the words of
its refusals are kept here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ekslab.kit.remembering import remembered
from ekslab.kube.api.errors import ApiError, Cause, bad_request, invalid
from ekslab.kube.api.requests import ApiRequest

_META_GROUP: Final = "meta.k8s.io"
_MANAGER_LONGEST: Final = 128
_AGENT_LONGEST: Final = 1_024
_INTEGER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_INT64: Final = range(-(2**63), 2**63)
_UINT64: Final = range(2**64)
_DIGITS_MOST: Final = 100
"""Longer numbers are not looked at: parsing takes a time that grows with the square."""
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
    """A boolean query parameter: all but "0" and "false" is true, "" too.

    Upstream: `Convert_Slice_string_To_bool` (`apimachinery/pkg/runtime/conversion.go`).
    """
    text = options.get(name)
    return None if text is None else text != "0" and text.lower() != "false"


def integer(options: Mapping[str, str], name: str) -> int | None:
    """An integer query parameter; None if there is none.

    Raises:
        ApiError: 400 if it is no number of 64 bits, in the words of Go's `strconv.ParseInt`.
    """
    text = options.get(name)
    if text is None:
        return None
    if not _INTEGER.fullmatch(text):
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if len(text) > _DIGITS_MOST or int(text) not in _INT64:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return int(text)


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


@remembered(1024, longest=_AGENT_LONGEST)
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
        ApiError: 400 if it is no number of 64 bits.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise _bad_revision(text, "invalid syntax")
    if len(text) > _DIGITS_MOST or int(text) not in _UINT64:
        raise _bad_revision(text, "value out of range")
    return int(text)


def _bad_revision(text: str, why: str) -> ApiError:
    return bad_request(
        f'invalid resource version: resourceVersion: Invalid value: "{text}":'
        f' strconv.ParseUint: parsing "{text}": {why}'
    )


def list_options(request: ApiRequest) -> ListOptions:
    """Options of a list or watch, with upstream's defaults (`SetListOptionsDefaults`).

    Raises:
        ApiError: 400 or 422 in upstream's words.
    """
    options = request.options
    watching = request.verb == "watch"
    given = options.get("resourceVersion", "")
    initial = flag(options, "sendInitialEvents")
    match = options.get("resourceVersionMatch", "")
    limit = integer(options, "limit") or 0
    timeout_s = integer(options, "timeoutSeconds")
    if watching and initial is None and not match and given in {"", "0"}:
        initial, match = True, NOT_OLDER_THAN
    causes = (_watch_causes if watching else _list_causes)(options, match, initial=initial)
    if causes:
        raise _refuse("ListOptions", causes)
    token = options.get("continue", "")
    if given == "0" and not token:
        limit = 0  # Upstream answers "any revision" from its cache, whole.
    return ListOptions(
        label_selector=options.get("labelSelector", ""),
        field_selector=options.get("fieldSelector", ""),
        limit=max(0, limit),
        continue_token=token,
        revision=parse_revision(given),
        match=match,
        timeout_s=timeout_s,
        bookmarks=bool(flag(options, "allowWatchBookmarks")),
        initial_events=initial,
    )


_MATCH: Final = "resourceVersionMatch"


def _forbidden(name: str, why: str) -> Cause:
    return Cause(name, f"Forbidden: {why}", "FieldValueForbidden")


def _unsupported(match: str, supported: str) -> Cause:
    text = f'Unsupported value: "{match}": supported values: {supported}'
    return Cause(_MATCH, text, "FieldValueNotSupported")


def _list_causes(options: Mapping[str, str], match: str, *, initial: bool | None) -> list[Cause]:
    """Which parameters of a list go together (`ValidateListOptions`)."""
    causes = []
    if match:
        given = options.get("resourceVersion")
        if not given:
            why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            causes.append(_forbidden(_MATCH, why))
        if options.get("continue"):
            why = "resourceVersionMatch is forbidden when continue is provided"
            causes.append(_forbidden(_MATCH, why))
        if match not in {EXACT, NOT_OLDER_THAN}:
            causes.append(_unsupported(match, '"Exact", "NotOlderThan", ""'))
        if match == EXACT and given == "0":
            why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            causes.append(_forbidden(_MATCH, why))
    if initial is not None:
        why = "sendInitialEvents is forbidden for list"
        causes.append(_forbidden("sendInitialEvents", why))
    return causes


def _watch_causes(options: Mapping[str, str], match: str, *, initial: bool | None) -> list[Cause]:
    """Which parameters of a watch go together (`validateWatchOptions`)."""
    causes = []
    if initial is not None and match != NOT_OLDER_THAN:
        why = f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER_THAN}"
        causes.append(_forbidden(_MATCH, why))
    if match:
        if initial is None:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            causes.append(_forbidden(_MATCH, why))
        if match != NOT_OLDER_THAN:
            causes.append(_unsupported(match, '"NotOlderThan"'))
        if options.get("continue"):
            why = "resourceVersionMatch is forbidden when continue is provided"
            causes.append(_forbidden(_MATCH, why))
    return causes


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
