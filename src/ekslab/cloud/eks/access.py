"""Access entries and access policies: which IAM principal may enter a cluster, and as what.

Rules: EKS user guide, "access entries" and "access policies": one entry per principal; principal
and type never change; own usernames may not take a reserved prefix; entries of node types have no
username, groups or policies of their own; an entry is tied to the principal's unique id.
"""

import re
from collections.abc import Sequence

from ekslab.cloud.eks.faults import in_use, invalid_parameter, invalid_request, not_found
from ekslab.cloud.eks.state import ACCESS_ENTRY, Asked, EksState, Wire, once, page
from ekslab.cloud.records import Record

_PRINCIPAL = re.compile(r"arn:aws[\w-]*:iam::(\d{12}):(user|role)/([\w+=,.@/-]+)")
_TYPES = ("STANDARD", "EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX", "HYBRID_LINUX", "EC2")
_RESERVED_PREFIXES = ("system:", "eks:", "aws:", "amazon:", "iam:")
_POLICY_PREFIX = "arn:aws:eks::aws:cluster-access-policy/"
_NODE_USERNAMES = {
    "EC2_LINUX": "system:node:{{EC2PrivateDNSName}}",
    "EC2_WINDOWS": "system:node:{{EC2PrivateDNSName}}",
    "EC2": "system:node:{{EC2PrivateDNSName}}",
    "FARGATE_LINUX": "system:node:{{SessionName}}",
    "HYBRID_LINUX": "system:node:{{SessionName}}",
}
_NODE_GROUPS = {
    "EC2_LINUX": ["system:nodes"],
    "EC2_WINDOWS": ["eks:kube-proxy-windows", "system:nodes"],
    "FARGATE_LINUX": ["system:node-proxier", "system:nodes"],
    "HYBRID_LINUX": ["system:nodes"],
    "EC2": [],
}
POLICIES: Sequence[str] = (
    "AmazonEKSAdminPolicy",
    "AmazonEKSAdminViewPolicy",
    "AmazonEKSAutoNodePolicy",
    "AmazonEKSBlockStorageClusterPolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSClusterAdminPolicy",
    "AmazonEKSComputeClusterPolicy",
    "AmazonEKSComputePolicy",
    "AmazonEKSEditPolicy",
    "AmazonEKSHybridPolicy",
    "AmazonEKSLoadBalancingClusterPolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingClusterPolicy",
    "AmazonEKSNetworkingPolicy",
    "AmazonEKSViewPolicy",
)


def create_access_entry(asked: Asked) -> Wire:
    """`CreateAccessEntry`."""
    name, principal = asked.params["clusterName"], asked.params["principalArn"]
    _check_mode(asked.state, name)
    key = asked.state.key(name, principal)

    def make() -> Wire:
        if asked.state.records.get(ACCESS_ENTRY, key) is not None:
            raise in_use(
                "The specified access entry resource is already in use on this cluster.",
                clusterName=name,
            )
        kind = asked.params.get("type", "STANDARD")
        _check_principal(asked.state, principal, kind)
        _check_identity(asked, kind)
        record = make_entry(
            asked.state,
            name,
            principal,
            kind=kind,
            username=asked.params.get("username", ""),
            groups=asked.params.get("kubernetesGroups") or (),
            tags=asked.params.get("tags") or {},
        )
        return {"accessEntry": record["wire"]}

    return once(asked, key, make)


def make_entry(
    state: EksState,
    cluster: str,
    principal: str,
    *,
    kind: str,
    username: str = "",
    groups: Sequence[str] = (),
    tags: Wire | None = None,
    policies: Sequence[str] = (),
) -> Record:
    """Keep an entry, whoever asked for it; policies are given the whole cluster as scope."""
    now = state.now()
    _, _, _, _, account, resource = principal.split(":", 5)
    principal_kind, _, _ = resource.partition("/")
    short = principal.rpartition("/")[2]
    wire: Wire = {
        "clusterName": cluster,
        "principalArn": principal,
        "kubernetesGroups": list(groups) or list(_NODE_GROUPS.get(kind, ())),
        "accessEntryArn": state.arn(
            f"access-entry/{cluster}/{principal_kind}/{account}/{short}/{state.ids.uid()}"
        ),
        "createdAt": now,
        "modifiedAt": now,
        "tags": dict(tags or {}),
        "username": username or _default_username(principal, kind),
        "type": kind,
    }
    record = {
        "wire": wire,
        "own": {
            "principalId": state.identities.principal_id(principal) or "",
            "policies": [
                {
                    "policyArn": _POLICY_PREFIX + policy,
                    "accessScope": {"type": "cluster", "namespaces": []},
                    "associatedAt": now,
                    "modifiedAt": now,
                }
                for policy in policies
            ],
        },
    }
    state.records.put(ACCESS_ENTRY, state.key(cluster, principal), record)
    return record


def describe_access_entry(asked: Asked) -> Wire:
    """`DescribeAccessEntry`."""
    return {"accessEntry": _entry(asked)["wire"]}


def list_access_entries(asked: Asked) -> Wire:
    """`ListAccessEntries`, also those with one policy."""
    name = asked.params["clusterName"]
    _check_mode(asked.state, name)
    policy = asked.params.get("associatedPolicyArn")
    found = [
        principal
        for principal, record in asked.state.children(ACCESS_ENTRY, name)
        if not policy or any(p["policyArn"] == policy for p in record["own"]["policies"])
    ]
    return page(asked, found, "accessEntries")


def update_access_entry(asked: Asked) -> Wire:
    """`UpdateAccessEntry`: username and groups of a STANDARD entry."""
    record = _entry(asked)
    kind = record["wire"]["type"]
    _check_identity(asked, kind)
    wire: Wire = {"modifiedAt": asked.state.now()}
    if asked.params.get("username") is not None:
        wire["username"] = asked.params["username"]
    if asked.params.get("kubernetesGroups") is not None:
        wire["kubernetesGroups"] = list(asked.params["kubernetesGroups"])
    new = asked.state.change(ACCESS_ENTRY, _key(asked), record, **wire)
    return {"accessEntry": new["wire"]}


def delete_access_entry(asked: Asked) -> Wire:
    """`DeleteAccessEntry`."""
    _entry(asked)
    asked.state.records.delete(ACCESS_ENTRY, _key(asked))
    return {}


def associate_access_policy(asked: Asked) -> Wire:
    """`AssociateAccessPolicy`; once more changes the scope."""
    record = _entry(asked)
    if record["wire"]["type"] != "STANDARD":
        raise invalid_parameter(
            "The specified access entry does not support access policies: its type is "
            f"{record['wire']['type']}.",
            clusterName=record["wire"]["clusterName"],
        )
    arn = asked.params["policyArn"]
    if arn.removeprefix(_POLICY_PREFIX) not in POLICIES:
        raise invalid_parameter(f"The specified policyArn is not valid: {arn}")
    scope = _scope(asked)
    now = asked.state.now()
    others = [p for p in record["own"]["policies"] if p["policyArn"] != arn]
    before = [p for p in record["own"]["policies"] if p["policyArn"] == arn]
    associated = {
        "policyArn": arn,
        "accessScope": scope,
        "associatedAt": before[0]["associatedAt"] if before else now,
        "modifiedAt": now,
    }
    _put_policies(asked, record, [*others, associated])
    return {**_whose(record), "associatedAccessPolicy": associated}


def disassociate_access_policy(asked: Asked) -> Wire:
    """`DisassociateAccessPolicy`."""
    record = _entry(asked)
    arn = asked.params["policyArn"]
    left = [p for p in record["own"]["policies"] if p["policyArn"] != arn]
    if len(left) == len(record["own"]["policies"]):
        raise not_found(
            "The specified access policy is not associated with the access entry.",
            clusterName=record["wire"]["clusterName"],
        )
    _put_policies(asked, record, left)
    return {}


def list_associated_access_policies(asked: Asked) -> Wire:
    """`ListAssociatedAccessPolicies`."""
    record = _entry(asked)
    listed = page(asked, record["own"]["policies"], "associatedAccessPolicies")
    return {**_whose(record), **listed}


def list_access_policies(asked: Asked) -> Wire:
    """`ListAccessPolicies`."""
    rows = [{"name": name, "arn": _POLICY_PREFIX + name} for name in POLICIES]
    return page(asked, rows, "accessPolicies")


def _whose(record: Record) -> Wire:
    wire = record["wire"]
    return {"clusterName": wire["clusterName"], "principalArn": wire["principalArn"]}


def _key(asked: Asked) -> str:
    return asked.state.key(asked.params["clusterName"], asked.params["principalArn"])


def _entry(asked: Asked) -> Record:
    name, principal = asked.params["clusterName"], asked.params["principalArn"]
    _check_mode(asked.state, name)
    record = asked.state.records.get(ACCESS_ENTRY, asked.state.key(name, principal))
    if record is None:
        raise not_found(
            f"The specified principalArn could not be found: {principal}", clusterName=name
        )
    return record


def _put_policies(asked: Asked, record: Record, policies: list[Wire]) -> None:
    new = {**record, "own": {**record["own"], "policies": policies}}
    asked.state.records.put(ACCESS_ENTRY, _key(asked), new)


def _check_mode(state: EksState, cluster: str) -> None:
    mode = state.cluster(cluster)["wire"]["accessConfig"]["authenticationMode"]
    if "API" not in mode:
        raise invalid_request(
            "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to "
            "perform this operation.",
            clusterName=cluster,
        )


def _check_principal(state: EksState, principal: str, kind: str) -> None:
    match = _PRINCIPAL.fullmatch(principal)
    if match is None:
        raise invalid_parameter("The specified principalArn is invalid: invalid principal.")
    if kind not in _TYPES:
        raise invalid_parameter(f"The specified type is invalid: {kind}")
    account, principal_kind, _ = match.groups()
    if kind != "STANDARD" and (principal_kind != "role" or account != state.account):
        raise invalid_parameter(
            f"The specified principalArn is invalid: type {kind} takes a role of this account."
        )
    if account == state.account and state.identities.principal_id(principal) is None:
        raise invalid_parameter("The specified principalArn is invalid: invalid principal.")


def _check_identity(asked: Asked, kind: str) -> None:
    username = asked.params.get("username") or ""
    groups = asked.params.get("kubernetesGroups") or ()
    if kind != "STANDARD" and (username or groups):
        raise invalid_parameter(
            f"The username and kubernetesGroups of an access entry of type {kind} cannot be set."
        )
    if username.startswith(_RESERVED_PREFIXES):
        raise invalid_parameter(
            "The username cannot begin with 'system:', 'eks:', 'aws:', 'amazon:' or 'iam:'."
        )
    before, template, _ = username.partition("{{SessionName}}")
    if template and ":" not in before:
        raise invalid_parameter("A ':' must precede {{SessionName}} in the username.")
    if any(group.startswith("system:") for group in groups):
        raise invalid_parameter("The kubernetes group name cannot begin with system:.")


def _scope(asked: Asked) -> Wire:
    given = asked.params["accessScope"]
    kind, namespaces = given.get("type"), list(given.get("namespaces") or ())
    if kind == "namespace" and not namespaces:
        raise invalid_parameter("namespaces is required when the access scope type is namespace.")
    if kind == "cluster" and namespaces:
        raise invalid_parameter("namespaces cannot be set when the access scope type is cluster.")
    return {"type": kind or "cluster", "namespaces": namespaces}


def _default_username(principal: str, kind: str) -> str:
    if kind in _NODE_USERNAMES:
        return _NODE_USERNAMES[kind]
    if ":role/" in principal:
        _, partition, _, _, account, resource = principal.split(":", 5)
        role = resource.rpartition("/")[2]
        return f"arn:{partition}:sts::{account}:assumed-role/{role}/{{{{SessionName}}}}"
    return principal
