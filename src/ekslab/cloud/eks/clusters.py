"""Clusters: create, describe, list, update, delete.

A cluster is CREATING until the control plane is reported ACTIVE (`EksReports`), UPDATING while its
version changes, DELETING until it is reported DELETED. What EKS makes beside it is made here:
security group, control-plane interfaces, the creator's access entry.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ekslab.cloud.eks import networking, updates
from ekslab.cloud.eks.access import make_entry
from ekslab.cloud.eks.faults import in_use, invalid_parameter, invalid_request, limit_exceeded
from ekslab.cloud.eks.state import CLUSTER, NODEGROUP, Asked, EksState, Wire, once, page
from ekslab.cloud.eks.versions import minor, platform_version
from ekslab.cloud.gateway.policies import Effect, Principal, Question, evaluate_trust
from ekslab.cloud.records import Record

_CLUSTERS_MAX = 100
_ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
_MODES = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
_NAME = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]*")


def create_cluster(asked: Asked) -> Wire:
    """`CreateCluster`."""
    key = asked.state.key(asked.params["name"])
    return once(asked, key, lambda: _create(asked))


def describe_cluster(asked: Asked) -> Wire:
    """`DescribeCluster`."""
    return {"cluster": asked.state.cluster(asked.params["name"])["wire"]}


def list_clusters(asked: Asked) -> Wire:
    """`ListClusters`, by name."""
    prefix = asked.state.key("")
    names = [record["wire"]["name"] for _, record in asked.state.records.under(CLUSTER, prefix)]
    return page(asked, names, "clusters")


def delete_cluster(asked: Asked) -> Wire:
    """`DeleteCluster`."""
    name = asked.params["name"]
    record = asked.state.cluster(name)
    if record["wire"].get("deletionProtection"):
        raise invalid_request(
            "Cluster cannot be deleted because deletion protection is enabled.", clusterName=name
        )
    groups = [group for group, _ in asked.state.children(NODEGROUP, name)]
    if groups:
        raise in_use("Cluster has nodegroups attached", clusterName=name, nodegroupName=groups[0])
    if record["wire"]["status"] in {"CREATING", "UPDATING"}:
        raise in_use(
            f"Cluster has an update in progress: {record['wire']['status']}", clusterName=name
        )
    new = asked.state.change(CLUSTER, asked.state.key(name), record, status="DELETING")
    return {"cluster": new["wire"]}


def update_cluster_version(asked: Asked) -> Wire:
    """`UpdateClusterVersion`: one minor version up."""
    name, version = asked.params["name"], asked.params["version"]
    record = _updatable(asked.state, name)
    current = record["wire"]["version"]
    if version not in asked.state.versions:
        raise invalid_parameter("unsupported Kubernetes version", clusterName=name)
    if version == current:
        raise invalid_parameter(f"Cluster is already at version: {version}", clusterName=name)
    if minor(version) != minor(current) + 1:
        raise invalid_parameter(
            f"Unsupported Kubernetes minor version update from {current} to {version}",
            clusterName=name,
        )
    behind = [
        group
        for group, child in asked.state.children(NODEGROUP, name)
        if minor(child["wire"]["version"]) < minor(current)
    ]
    if behind:
        raise invalid_request(
            f"Nodegroups {', '.join(behind)} must be updated to match cluster version {current} "
            "before updating cluster version",
            clusterName=name,
        )

    def make() -> Wire:
        own = {**record["own"], "wantedVersion": version}
        asked.state.change(
            CLUSTER, asked.state.key(name), {**record, "own": own}, status="UPDATING"
        )
        params = [("Version", version), ("PlatformVersion", platform_version(version))]
        return updates.begin(asked.state, name, "VersionUpdate", params)

    return once(asked, asked.state.key(name), make)


def update_cluster_config(asked: Asked) -> Wire:
    """`UpdateClusterConfig`: one kind of change a call."""
    name = asked.params["name"]
    record = _updatable(asked.state, name)
    kinds = [kind for kind in _CONFIG_UPDATES if asked.params.get(kind) is not None]
    if not kinds:
        raise invalid_parameter("No changes needed for the cluster configuration", clusterName=name)
    if len(kinds) > 1:
        raise invalid_parameter("Only one type of update can be allowed.", clusterName=name)

    def make() -> Wire:
        return _CONFIG_UPDATES[kinds[0]](asked, record)

    return once(asked, asked.state.key(name), make)


def _create(asked: Asked) -> Wire:
    state, params = asked.state, asked.params
    name, vpc_config = params["name"], params["resourcesVpcConfig"]
    _check_new(asked)
    subnet_ids = list(vpc_config.get("subnetIds") or ())
    if len(subnet_ids) < 2:
        raise invalid_parameter(
            "Subnets specified must be in at least two different AZs", clusterName=name
        )
    subnets = networking.check_cluster_subnets(state, name, subnet_ids)
    extra_groups = list(vpc_config.get("securityGroupIds") or ())
    networking.check_security_groups(state, name, extra_groups)
    endpoint_access = _endpoint_access({}, vpc_config, name)
    network = networking.service_network(
        state, name, params.get("kubernetesNetworkConfig") or {}, subnets[0].vpc_id
    )
    logging = _logging({}, params.get("logging") or {})
    group_id, interfaces = networking.make_cluster_network(state, name, subnets, extra_groups)
    version = params.get("version") or state.default_version
    wire: Wire = {
        "name": name,
        "arn": state.arn(f"cluster/{name}"),
        "createdAt": state.now(),
        "version": version,
        "roleArn": params["roleArn"],
        "resourcesVpcConfig": {
            "subnetIds": subnet_ids,
            "securityGroupIds": extra_groups,
            "clusterSecurityGroupId": group_id,
            "vpcId": subnets[0].vpc_id,
            **endpoint_access,
        },
        "kubernetesNetworkConfig": network,
        "logging": logging,
        "status": "CREATING",
        "certificateAuthority": {},
        "platformVersion": platform_version(version),
        "tags": dict(params.get("tags") or {}),
        "health": {"issues": []},
        "accessConfig": _access_config(params.get("accessConfig") or {}),
        "upgradePolicy": {
            "supportType": (params.get("upgradePolicy") or {}).get("supportType", "EXTENDED")
        },
        "deletionProtection": bool(params.get("deletionProtection", False)),
    }
    for member in ("clientRequestToken", "encryptionConfig"):
        if params.get(member) is not None:
            wire[member] = params[member]
    own = {
        "creator": {"arn": asked.caller.principal, "id": asked.caller.principal_id},
        "interfaces": interfaces,
        "oidcIssuer": f"https://oidc.eks.{state.region}.amazonaws.com/id/{state.ids.hex(32).upper()}",
        "bootstrapSelfManagedAddons": bool(params.get("bootstrapSelfManagedAddons", True)),
    }
    state.records.put(CLUSTER, state.key(name), {"wire": wire, "own": own})
    _let_creator_in(asked, wire)
    return {"cluster": wire}


def _check_new(asked: Asked) -> None:
    state, name = asked.state, asked.params["name"]
    if not _NAME.fullmatch(name):
        raise invalid_parameter(
            "The name can contain only alphanumeric characters (case-sensitive), hyphens and "
            "underscores. It must start with an alphanumeric character and can't be longer than "
            "100 characters.",
            clusterName=name,
        )
    if state.records.get(CLUSTER, state.key(name)) is not None:
        raise in_use(f"Cluster already exists with name: {name}", clusterName=name)
    if sum(1 for _ in state.records.under(CLUSTER, state.key(""))) >= _CLUSTERS_MAX:
        raise limit_exceeded("Cluster limit exceeded", clusterName=name)
    version = asked.params.get("version")
    if version is not None and version not in state.versions:
        raise invalid_parameter("unsupported Kubernetes version", clusterName=name)
    _check_cluster_role(state, name, asked.params["roleArn"])


def _check_cluster_role(state: EksState, name: str, arn: str) -> None:
    if not _ROLE_ARN.fullmatch(arn):
        raise invalid_parameter(f"Invalid Role Arn: '{arn}'", clusterName=name)
    role = state.identities.role(arn)
    trusted = role is not None and evaluate_trust(
        role.trust_policy,
        Principal(service="eks.amazonaws.com"),
        Question("sts:AssumeRole", None),
    )
    if trusted is not Effect.ALLOW:
        raise invalid_parameter(
            f"Role with arn: {arn}, could not be assumed because it does not exist or the trusted "
            "entity is not correct",
            clusterName=name,
        )


def _let_creator_in(asked: Asked, wire: Mapping[str, Any]) -> None:
    access = wire["accessConfig"]
    principal = asked.caller.principal
    if not access["bootstrapClusterCreatorAdminPermissions"] or asked.caller.service:
        return
    if "API" in access["authenticationMode"]:
        make_entry(
            asked.state,
            wire["name"],
            principal,
            kind="STANDARD",
            policies=("AmazonEKSClusterAdminPolicy",),
        )


def _access_config(given: Mapping[str, Any]) -> Wire:
    return {
        "bootstrapClusterCreatorAdminPermissions": bool(
            given.get("bootstrapClusterCreatorAdminPermissions", True)
        ),
        "authenticationMode": given.get("authenticationMode") or "CONFIG_MAP",
    }


def _endpoint_access(before: Mapping[str, Any], given: Mapping[str, Any], cluster: str) -> Wire:
    access: Wire = {
        "endpointPublicAccess": before.get("endpointPublicAccess", True),
        "endpointPrivateAccess": before.get("endpointPrivateAccess", False),
        "publicAccessCidrs": before.get("publicAccessCidrs", ["0.0.0.0/0"]),
    }
    access |= {member: given[member] for member in access if given.get(member) is not None}
    if not access["endpointPublicAccess"] and not access["endpointPrivateAccess"]:
        raise invalid_parameter(
            "Private and public endpoint access cannot be false", clusterName=cluster
        )
    if not access["endpointPublicAccess"]:
        access["publicAccessCidrs"] = []
    if len(access["publicAccessCidrs"]) > 40:
        raise invalid_parameter("At most 40 publicAccessCidrs are allowed", clusterName=cluster)
    return access


def _logging(before: Mapping[str, Any], given: Mapping[str, Any]) -> Wire:
    on = {
        kind
        for setup in before.get("clusterLogging", ())
        if setup["enabled"]
        for kind in setup["types"]
    }
    for setup in given.get("clusterLogging") or ():
        types = set(setup.get("types") or ())
        on = on | types if setup.get("enabled") else on - types
    rows = []
    for enabled in (True, False):
        types_now = [kind for kind in _LOG_TYPES if (kind in on) is enabled]
        if types_now:
            rows.append({"types": types_now, "enabled": enabled})
    return {"clusterLogging": rows}


def _updatable(state: EksState, name: str) -> Record:
    record = state.cluster(name)
    status = record["wire"]["status"]
    if status != "ACTIVE":
        raise in_use(f"Cluster '{name}' is not in ACTIVE status", clusterName=name)
    return record


def _change(asked: Asked, record: Record, **wire: Any) -> None:
    asked.state.change(CLUSTER, asked.state.key(asked.params["name"]), record, **wire)


def _update_vpc(asked: Asked, record: Record) -> Wire:
    state, name = asked.state, asked.params["name"]
    given, before = asked.params["resourcesVpcConfig"], record["wire"]["resourcesVpcConfig"]
    if given.get("subnetIds") or given.get("securityGroupIds"):
        subnet_ids = list(given.get("subnetIds") or before["subnetIds"])
        subnets = networking.check_cluster_subnets(state, name, subnet_ids)
        zones = {s.availability_zone for s in networking.find_subnets(state, before["subnetIds"])}
        if (
            subnets[0].vpc_id != before["vpcId"]
            or not {subnet.availability_zone for subnet in subnets} <= zones
        ):
            raise invalid_parameter(
                "Provided subnets belong to the incorrect set of availability zones or VPC",
                clusterName=name,
            )
        groups = list(given.get("securityGroupIds") or before["securityGroupIds"])
        networking.check_security_groups(state, name, groups)
        _change(
            asked,
            record,
            resourcesVpcConfig={**before, "subnetIds": subnet_ids, "securityGroupIds": groups},
        )
        params = [("Subnets", subnet_ids), ("SecurityGroups", groups)]
        return updates.begin(state, name, "VpcConfigUpdate", params, done=True)
    access = _endpoint_access(before, given, name)
    if all(before[member] == access[member] for member in access):
        raise invalid_parameter(
            "Cluster is already at the desired configuration with "
            f"endpointPrivateAccess: {str(access['endpointPrivateAccess']).lower()} , "
            f"endpointPublicAccess: {str(access['endpointPublicAccess']).lower()}, and Public "
            f"Endpoint Restrictions: [{', '.join(access['publicAccessCidrs'])}]",
            clusterName=name,
        )
    _change(asked, record, resourcesVpcConfig={**before, **access})
    params_list: list[tuple[str, Any]] = [
        ("EndpointPublicAccess", access["endpointPublicAccess"]),
        ("EndpointPrivateAccess", access["endpointPrivateAccess"]),
        ("PublicAccessCidrs", access["publicAccessCidrs"]),
    ]
    return updates.begin(state, name, "EndpointAccessUpdate", params_list, done=True)


def _update_logging(asked: Asked, record: Record) -> Wire:
    name = asked.params["name"]
    logging = _logging(record["wire"]["logging"], asked.params["logging"])
    if logging == record["wire"]["logging"]:
        raise invalid_parameter(
            "No changes needed for the logging config provided", clusterName=name
        )
    _change(asked, record, logging=logging)
    return updates.begin(
        asked.state, name, "LoggingUpdate", [("ClusterLogging", logging)], done=True
    )


def _update_access(asked: Asked, record: Record) -> Wire:
    name = asked.params["name"]
    before = record["wire"]["accessConfig"]
    mode = asked.params["accessConfig"].get("authenticationMode") or before["authenticationMode"]
    now_rank, new_rank = _MODES.index(before["authenticationMode"]), _MODES.index(mode)
    if new_rank == now_rank:
        raise invalid_parameter(
            f"Unsupported authentication mode update from {before['authenticationMode']} to {mode}",
            clusterName=name,
        )
    if new_rank != now_rank + 1:
        raise invalid_parameter(
            f"Unsupported authentication mode update from {before['authenticationMode']} to {mode}",
            clusterName=name,
        )
    _change(asked, record, accessConfig={**before, "authenticationMode": mode})
    creator = record["own"]["creator"]["arn"]
    if now_rank == 0 and before["bootstrapClusterCreatorAdminPermissions"]:
        # The creator's hidden administrator becomes a visible entry with the mode that has entries.
        make_entry(
            asked.state, name, creator, kind="STANDARD", policies=("AmazonEKSClusterAdminPolicy",)
        )
    return updates.begin(
        asked.state, name, "AccessConfigUpdate", [("AuthenticationMode", mode)], done=True
    )


def _update_upgrade_policy(asked: Asked, record: Record) -> Wire:
    policy = {"supportType": asked.params["upgradePolicy"].get("supportType", "EXTENDED")}
    _change(asked, record, upgradePolicy=policy)
    return updates.begin(
        asked.state,
        asked.params["name"],
        "UpgradePolicyUpdate",
        [("UpgradePolicy", policy)],
        done=True,
    )


def _update_protection(asked: Asked, record: Record) -> Wire:
    wanted = bool(asked.params["deletionProtection"])
    _change(asked, record, deletionProtection=wanted)
    return updates.begin(
        asked.state,
        asked.params["name"],
        "DeletionProtectionUpdate",
        [("DeletionProtection", wanted)],
        done=True,
    )


_CONFIG_UPDATES: Mapping[str, Callable[[Asked, Record], Wire]] = {
    "resourcesVpcConfig": _update_vpc,
    "logging": _update_logging,
    "accessConfig": _update_access,
    "upgradePolicy": _update_upgrade_policy,
    "deletionProtection": _update_protection,
}
