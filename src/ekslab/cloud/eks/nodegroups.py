"""Managed node groups: create, describe, list, update, delete.

The API's side: validations, defaults, states. Launch template, Auto Scaling group and nodes are
made by whoever follows the change feed, as EKS's own service role; it reports how they do.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ekslab.cloud.eks import networking, updates
from ekslab.cloud.eks.access import make_entry
from ekslab.cloud.eks.faults import in_use, invalid_parameter, invalid_request, limit_exceeded
from ekslab.cloud.eks.state import ACCESS_ENTRY, NODEGROUP, Asked, EksState, Wire, once, page
from ekslab.cloud.eks.versions import minor, release_version
from ekslab.cloud.facts.images import eks_image_id
from ekslab.cloud.gateway.policies import Effect, Principal, Question, evaluate_trust
from ekslab.cloud.records import Record

_GROUPS_MAX = 30
_NODES_MAX = 450
_NAME = re.compile(r"[0-9A-Za-z][A-Za-z0-9_-]{0,62}")
_RESERVED_LABELS = ("kubernetes.io/", "k8s.io/", "eks.amazonaws.com/")
_DEFAULT_SCALING = {"minSize": 1, "maxSize": 2, "desiredSize": 2}


def create_nodegroup(asked: Asked) -> Wire:
    """`CreateNodegroup`."""
    key = asked.state.key(asked.params["clusterName"], asked.params["nodegroupName"])
    return once(asked, key, lambda: _create(asked))


def describe_nodegroup(asked: Asked) -> Wire:
    """`DescribeNodegroup`."""
    record = asked.state.nodegroup(asked.params["clusterName"], asked.params["nodegroupName"])
    return {"nodegroup": record["wire"]}


def list_nodegroups(asked: Asked) -> Wire:
    """`ListNodegroups`."""
    name = asked.params["clusterName"]
    asked.state.cluster(name)
    names = [group for group, _ in asked.state.children(NODEGROUP, name)]
    return page(asked, names, "nodegroups")


def delete_nodegroup(asked: Asked) -> Wire:
    """`DeleteNodegroup`."""
    name, group = asked.params["clusterName"], asked.params["nodegroupName"]
    record = asked.state.nodegroup(name, group)
    new = asked.state.change(NODEGROUP, asked.state.key(name, group), record, status="DELETING")
    return {"nodegroup": new["wire"]}


def update_nodegroup_config(asked: Asked) -> Wire:
    """`UpdateNodegroupConfig`: scaling, labels, taints, how updates go."""
    params = asked.params
    name, group = params["clusterName"], params["nodegroupName"]
    record = _updatable(asked.state, name, group)
    wire: Wire = {"modifiedAt": asked.state.now()}
    said: list[tuple[str, Any]] = []
    if params.get("scalingConfig"):
        scaling = {**record["wire"]["scalingConfig"], **params["scalingConfig"]}
        _check_scaling(scaling, name, group)
        wire["scalingConfig"] = scaling
        said += [
            ("MinSize", scaling["minSize"]),
            ("MaxSize", scaling["maxSize"]),
            ("DesiredSize", scaling["desiredSize"]),
        ]
    if params.get("labels"):
        change = params["labels"]
        added = change.get("addOrUpdateLabels") or {}
        _check_labels(added, name, group)
        labels = {**record["wire"]["labels"], **added}
        for label in change.get("removeLabels") or ():
            labels.pop(label, None)
        wire["labels"] = labels
        said.append(("LabelsToAdd", added))
        said.append(("LabelsToRemove", list(change.get("removeLabels") or ())))
    if params.get("taints"):
        wire["taints"] = _changed_taints(record["wire"].get("taints") or (), params["taints"])
        said.append(("TaintsToAdd", list(params["taints"].get("addOrUpdateTaints") or ())))
        said.append(("TaintsToRemove", list(params["taints"].get("removeTaints") or ())))
    if params.get("updateConfig"):
        wire["updateConfig"] = _update_config(params["updateConfig"], name, group)
        said += [
            ("MaxUnavailable" if key == "maxUnavailable" else "MaxUnavailablePercentage", value)
            for key, value in wire["updateConfig"].items()
        ]
    if params.get("nodeRepairConfig"):
        wire["nodeRepairConfig"] = dict(params["nodeRepairConfig"])
        said.append(("NodeRepairEnabled", bool(params["nodeRepairConfig"].get("enabled"))))
    if not said:
        raise invalid_parameter(
            "No changes needed for the node group configuration",
            clusterName=name,
            nodegroupName=group,
        )

    def make() -> Wire:
        key = asked.state.key(name, group)
        asked.state.change(NODEGROUP, key, record, status="UPDATING", **wire)
        return updates.begin(asked.state, name, "ConfigUpdate", said, nodegroup=group)

    return once(asked, asked.state.key(name, group), make)


def update_nodegroup_version(asked: Asked) -> Wire:
    """`UpdateNodegroupVersion`: another Kubernetes version or AMI release."""
    name, group = asked.params["clusterName"], asked.params["nodegroupName"]
    record = _updatable(asked.state, name, group)
    cluster_version = asked.state.cluster(name)["wire"]["version"]
    version = asked.params.get("version") or record["wire"]["version"]
    _check_version(asked.state, version, cluster_version, name, group)
    if minor(version) < minor(record["wire"]["version"]):
        raise invalid_parameter(
            f"Nodegroup Kubernetes version {record['wire']['version']} cannot be lowered to "
            f"{version}",
            clusterName=name,
            nodegroupName=group,
        )
    release = asked.params.get("releaseVersion") or release_version(version)
    said = [("Version", version), ("ReleaseVersion", release)]

    def make() -> Wire:
        architecture = _architecture(record["wire"]["amiType"])
        new = {
            **record,
            "own": {**record["own"], "imageId": eks_image_id(version, architecture)},
        }
        asked.state.change(
            NODEGROUP,
            asked.state.key(name, group),
            new,
            status="UPDATING",
            version=version,
            releaseVersion=release,
            modifiedAt=asked.state.now(),
        )
        return updates.begin(asked.state, name, "VersionUpdate", said, nodegroup=group)

    return once(asked, asked.state.key(name, group), make)


def forget_role_entry(state: EksState, cluster: str, role: str) -> None:
    """Remove the node role's access entry when the last group with this role is gone."""
    if any(record["wire"]["nodeRole"] == role for _, record in state.children(NODEGROUP, cluster)):
        return
    entry = state.records.get(ACCESS_ENTRY, state.key(cluster, role))
    if entry is not None and entry["wire"]["type"] != "STANDARD":
        state.records.delete(ACCESS_ENTRY, state.key(cluster, role))


def _create(asked: Asked) -> Wire:
    state, params = asked.state, asked.params
    name, group = params["clusterName"], params["nodegroupName"]
    cluster = state.cluster(name)
    _check_new(state, cluster, name, group)
    _check_template(params, name, group)
    _check_node_role(state, params["nodeRole"], name, group)
    subnets = networking.find_subnets(
        state, params["subnets"], clusterName=name, nodegroupName=group
    )
    if any(s.vpc_id != cluster["wire"]["resourcesVpcConfig"]["vpcId"] for s in subnets):
        raise invalid_parameter(
            "Subnets must belong to the VPC of the cluster", clusterName=name, nodegroupName=group
        )
    scaling = {**_DEFAULT_SCALING, **(params.get("scalingConfig") or {})}
    _check_scaling(scaling, name, group)
    labels = dict(params.get("labels") or {})
    _check_labels(labels, name, group)
    types = list(params.get("instanceTypes") or ())
    if not types and not params.get("launchTemplate"):
        types = ["t3.medium"]
    ami_type = _ami_type(params, types, name, group)
    version = params.get("version") or cluster["wire"]["version"]
    _check_version(state, version, cluster["wire"]["version"], name, group)
    now = state.now()
    wire: Wire = {
        "nodegroupName": group,
        "nodegroupArn": state.arn(f"nodegroup/{name}/{group}/{state.ids.uid()}"),
        "clusterName": name,
        "version": version,
        "releaseVersion": params.get("releaseVersion") or release_version(version),
        "createdAt": now,
        "modifiedAt": now,
        "status": "CREATING",
        "capacityType": params.get("capacityType") or "ON_DEMAND",
        "scalingConfig": scaling,
        "instanceTypes": types,
        "subnets": list(params["subnets"]),
        "amiType": ami_type,
        "nodeRole": params["nodeRole"],
        "labels": labels,
        "health": {"issues": []},
        "updateConfig": _update_config(params.get("updateConfig") or {}, name, group),
        "tags": dict(params.get("tags") or {}),
    }
    if params.get("taints"):
        wire["taints"] = [dict(taint) for taint in params["taints"]]
    for member in ("launchTemplate", "remoteAccess", "nodeRepairConfig"):
        if params.get(member):
            wire[member] = dict(params[member])
    if not params.get("launchTemplate"):
        wire["diskSize"] = params.get("diskSize") or 20
    own = {"imageId": eks_image_id(version, _architecture(ami_type))}
    state.records.put(NODEGROUP, state.key(name, group), {"wire": wire, "own": own})
    _let_nodes_in(state, cluster, params["nodeRole"], ami_type)
    return {"nodegroup": wire}


def _check_new(state: EksState, cluster: Record, name: str, group: str) -> None:
    if not _NAME.fullmatch(group):
        raise invalid_parameter(
            "The name can contain only alphanumeric characters (case-sensitive), hyphens and "
            "underscores, must start with an alphanumeric character and cannot be longer than 63 "
            "characters",
            clusterName=name,
            nodegroupName=group,
        )
    if state.records.get(NODEGROUP, state.key(name, group)) is not None:
        raise in_use(
            f"NodeGroup already exists with name {group} and cluster name {name}",
            clusterName=name,
            nodegroupName=group,
        )
    if cluster["wire"]["status"] != "ACTIVE":
        raise invalid_request(
            f"Cluster '{name}' is not in ACTIVE status", clusterName=name, nodegroupName=group
        )
    if sum(1 for _ in state.children(NODEGROUP, name)) >= _GROUPS_MAX:
        raise limit_exceeded("Nodegroup limit exceeded", clusterName=name, nodegroupName=group)


def _check_template(params: Mapping[str, Any], name: str, group: str) -> None:
    template = params.get("launchTemplate")
    if not template:
        return
    fields = {"clusterName": name, "nodegroupName": group}
    if bool(template.get("id")) == bool(template.get("name")):
        raise invalid_parameter(
            "You must specify either the launch template ID or the launch template name in the "
            "request, but not both.",
            **fields,
        )
    if params.get("diskSize"):
        raise invalid_parameter("Disk size must be specified within the launch template.", **fields)
    if params.get("remoteAccess"):
        raise invalid_parameter(
            "Remote access configuration cannot be specified with a launch template.", **fields
        )


def _check_node_role(state: EksState, arn: str, name: str, group: str) -> None:
    role = state.identities.role(arn)
    fields = {"clusterName": name, "nodegroupName": group}
    if role is None or role.arn != arn:
        raise invalid_parameter(
            f"The role with name {arn.rpartition('/')[2]} cannot be found.", **fields
        )
    trust = evaluate_trust(
        role.trust_policy,
        Principal(service="ec2.amazonaws.com"),
        Question("sts:AssumeRole", None),
    )
    if trust is not Effect.ALLOW:
        raise invalid_parameter(
            "Following required service principals [ec2.amazonaws.com] were not found in the trust "
            f"relationships of nodeRole {arn}",
            **fields,
        )


def _check_scaling(scaling: Mapping[str, int], name: str, group: str) -> None:
    fields = {"clusterName": name, "nodegroupName": group}
    least, desired, most = scaling["minSize"], scaling["desiredSize"], scaling["maxSize"]
    if most < 1:
        raise invalid_parameter("maxSize must be at least 1", **fields)
    if least > desired:
        raise invalid_parameter(
            f"Minimum capacity {least} can't be greater than desired size {desired}", **fields
        )
    if desired > most:
        raise invalid_parameter(
            f"desired capacity {desired} can't be greater than max size {most}", **fields
        )
    if most > _NODES_MAX:
        raise limit_exceeded(f"Maximum of {_NODES_MAX} nodes per nodegroup", **fields)


def _check_labels(labels: Mapping[str, str], name: str, group: str) -> None:
    for label in labels:
        domain = label.partition("/")[0] + "/"
        if "/" in label and any(
            domain == prefix or domain.endswith("." + prefix) for prefix in _RESERVED_LABELS
        ):
            raise invalid_parameter(
                f"Label cannot contain reserved prefixes [{', '.join(_RESERVED_LABELS)}]",
                clusterName=name,
                nodegroupName=group,
            )


def _check_version(
    state: EksState, version: str, cluster_version: str, name: str, group: str
) -> None:
    if version not in state.versions or minor(version) > minor(cluster_version):
        raise invalid_parameter(
            f"Requested Nodegroup version {version} is not supported with cluster version "
            f"{cluster_version}",
            clusterName=name,
            nodegroupName=group,
        )


def _ami_type(params: Mapping[str, Any], types: Sequence[str], name: str, group: str) -> str:
    from moto.ec2.models.instance_types import INSTANCE_TYPES

    fields = {"clusterName": name, "nodegroupName": group}
    architectures = set()
    for instance_type in types:
        facts = INSTANCE_TYPES.get(instance_type)
        if facts is None:
            raise invalid_parameter(
                f"The following supplied instance types do not exist: [{instance_type}]", **fields
            )
        supported = facts["ProcessorInfo"]["SupportedArchitectures"]
        architectures.add("arm64" if "arm64" in supported else "x86_64")
    if len(architectures) > 1:
        raise invalid_parameter("Instance types must be of the same architecture", **fields)
    architecture = architectures.pop() if architectures else "x86_64"
    usual = "AL2023_ARM_64_STANDARD" if architecture == "arm64" else "AL2023_x86_64_STANDARD"
    wanted = str(params.get("amiType") or usual)
    if wanted != "CUSTOM" and types and _architecture(wanted) != architecture:
        raise invalid_parameter(
            f"[{', '.join(types)}] is not a valid instance type for requested amiType {wanted}",
            **fields,
        )
    return wanted


def _architecture(ami_type: str) -> str:
    return "arm64" if "ARM" in ami_type else "x86_64"


def _update_config(given: Mapping[str, Any], name: str, group: str) -> Wire:
    both = (
        given.get("maxUnavailable") is not None,
        given.get("maxUnavailablePercentage") is not None,
    )
    if all(both):
        raise invalid_parameter(
            "Only one of maxUnavailable and maxUnavailablePercentage can be specified",
            clusterName=name,
            nodegroupName=group,
        )
    if both[1]:
        return {"maxUnavailablePercentage": given["maxUnavailablePercentage"]}
    return {"maxUnavailable": given.get("maxUnavailable") or 1}


def _changed_taints(before: Sequence[Mapping[str, Any]], change: Mapping[str, Any]) -> list[Wire]:
    def identity(taint: Mapping[str, Any]) -> tuple[Any, Any]:
        return taint.get("key"), taint.get("effect")

    taints = {identity(taint): dict(taint) for taint in before}
    for taint in change.get("removeTaints") or ():
        taints.pop(identity(taint), None)
    for taint in change.get("addOrUpdateTaints") or ():
        taints[identity(taint)] = dict(taint)
    return list(taints.values())


def _updatable(state: EksState, cluster: str, group: str) -> Record:
    record = state.nodegroup(cluster, group)
    status = record["wire"]["status"]
    if status not in {"ACTIVE", "DEGRADED"}:
        raise in_use(
            "Nodegroup cannot be updated as it is currently not in Active State",
            clusterName=cluster,
            nodegroupName=group,
        )
    return record


def _let_nodes_in(state: EksState, cluster: Record, role: str, ami_type: str) -> None:
    name = cluster["wire"]["name"]
    mode = cluster["wire"]["accessConfig"]["authenticationMode"]
    key = state.key(name, role)
    if "API" in mode and state.records.get(ACCESS_ENTRY, key) is None:
        kind = "EC2_WINDOWS" if ami_type.startswith("WINDOWS") else "EC2_LINUX"
        make_entry(state, name, role, kind=kind)
