"""From a caller to a Kubernetes user: access entries first, then the `aws-auth` ConfigMap.

Rules: EKS user guide (access entries), aws-iam-authenticator `pkg/mapper/configmap` and
`pkg/server/server.go` (doMapping, renderTemplate). Pure: reads what it is given.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from ekslab.bridge.identity import arns
from ekslab.bridge.identity.caller import Caller
from ekslab.kube.api.requests import UserInfo
from ekslab.kube.api.schema.yaml_text import check_depth

_EMPTY_VALUES: Final = frozenset({"", '""', "''", "``"})
_TEMPLATE: Final = re.compile(r"\{\{(\w+)\}\}")

# Groups that EKS adds by the type of an access entry; users may not ask for them themselves.
TYPE_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "EC2_LINUX": ("system:bootstrappers", "system:nodes"),
    "EC2_WINDOWS": ("system:bootstrappers", "system:nodes", "eks:kube-proxy-windows"),
    "FARGATE_LINUX": ("system:bootstrappers", "system:nodes", "system:node-proxier"),
    "HYBRID_LINUX": ("system:bootstrappers", "system:nodes"),
    "EC2": ("system:bootstrappers", "system:nodes"),
}
TYPE_USERNAMES: Final[Mapping[str, str]] = {
    "EC2_LINUX": "system:node:{{EC2PrivateDNSName}}",
    "EC2_WINDOWS": "system:node:{{EC2PrivateDNSName}}",
    "FARGATE_LINUX": "system:node:{{SessionName}}",
    "HYBRID_LINUX": "system:node:{{SessionName}}",
    "EC2": "system:node:{{EC2PrivateDNSName}}",
}


class MappingError(Exception):
    """The caller is known to AWS but not mapped, or its mapping cannot be filled in."""


@dataclass(frozen=True, slots=True)
class MappedUser:
    """Username and groups before their templates are filled in."""

    username: str
    groups: tuple[str, ...]


def from_access_entries(caller: Caller, entries: Iterable[Mapping[str, Any]]) -> MappedUser | None:
    """The mapping of the entry for this principal, or None.

    An entry is bound to the principal's unique id (`principalId`): when a role is deleted and made
    anew under its old name, the entry is dead.
    """
    own = arns.without_path(caller.canonical_arn).lower()
    for entry in entries:
        if arns.without_path(entry["principalArn"]).lower() != own:
            continue
        if entry.get("principalId") and entry["principalId"] != caller.user_id:
            continue
        kind = entry.get("type", "STANDARD")
        groups = (*TYPE_GROUPS.get(kind, ()), *entry.get("kubernetesGroups", ()))
        username = entry.get("username") or TYPE_USERNAMES.get(kind, "")
        return MappedUser(username or _default_username(entry["principalArn"]), groups)
    return None


def _default_username(principal_arn: str) -> str:
    _, partition, _, _, account, resource = principal_arn.split(":", 5)
    if resource.startswith("role/"):
        role = resource.rsplit("/", 1)[-1]
        return f"arn:{partition}:sts::{account}:assumed-role/{role}/{{{{SessionName}}}}"
    return principal_arn


def from_config_map(caller: Caller, data: Mapping[str, str]) -> MappedUser | None:
    """The mapping in `kube-system/aws-auth`: roles, then users, then whole accounts."""
    own = caller.canonical_arn.lower()
    for key, arn_field in (("mapRoles", "rolearn"), ("mapUsers", "userarn")):
        for row in _rows(data, key):
            lower = {str(name).lower(): value for name, value in row.items()}
            if str(lower.get(arn_field, "")).lower() == own:
                groups = tuple(str(group) for group in lower.get("groups") or ())
                return MappedUser(str(lower.get("username") or ""), groups)
    if caller.account in [str(account) for account in _list(data, "mapAccounts")]:
        return MappedUser(caller.canonical_arn, ())
    return None


def _rows(data: Mapping[str, str], key: str) -> list[Mapping[str, Any]]:
    return [row for row in _list(data, key) if isinstance(row, dict)]


def _list(data: Mapping[str, str], key: str) -> Sequence[Any]:
    text = (data.get(key) or "").strip()
    if text in _EMPTY_VALUES:
        return ()
    try:
        check_depth(text.encode())
        value = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return ()
    return value if isinstance(value, list) else ()


def render(
    mapped: MappedUser, caller: Caller, private_dns_name: Callable[[str], str | None]
) -> UserInfo:
    """Fill in the templates and give the user as the API server knows it.

    Args:
        mapped: the mapping found.
        caller: who STS says it is.
        private_dns_name: EC2's private DNS name of an instance id, None if there is none.

    Raises:
        MappingError: a template cannot be filled in.
    """

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        simple = {
            "AccountID": caller.account,
            "SessionName": caller.session_name.replace("@", "-"),
            "SessionNameRaw": caller.session_name,
            "AccessKeyID": caller.access_key_id,
        }
        if name in simple:
            return simple[name]
        if name != "EC2PrivateDNSName":
            raise MappingError(f"unknown template {{{{{name}}}}} in mapping")
        if not arns.is_instance_session(caller.session_name):
            raise MappingError("session name is no instance id: cannot fill in EC2PrivateDNSName")
        found = private_dns_name(caller.session_name)
        if not found:
            raise MappingError(f"no running instance {caller.session_name}")
        return found

    return UserInfo(
        name=_TEMPLATE.sub(fill, mapped.username),
        groups=tuple(_TEMPLATE.sub(fill, group) for group in mapped.groups),
        uid=f"aws-iam-authenticator:{caller.account}:{caller.user_id}",
        extra={
            "accessKeyId": (caller.access_key_id,),
            "arn": (caller.arn,),
            "canonicalArn": (caller.canonical_arn,),
            "principalId": (caller.user_id,),
            "sessionName": (caller.session_name,),
            "sigs.k8s.io/aws-iam-authenticator/principalId": (caller.user_id,),
        },
    )
