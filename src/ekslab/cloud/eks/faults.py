"""Errors of the EKS API: names, HTTP status and members as in its service model."""

from typing import Any

from ekslab.cloud.gateway.faults import AwsFault


def invalid_parameter(message: str, **fields: Any) -> AwsFault:
    """400: a value is not acceptable."""
    names = ("clusterName", "nodegroupName", "fargateProfileName", "addonName", "subscriptionId")
    return _fault("InvalidParameterException", 400, message, names, fields)


def invalid_request(message: str, **fields: Any) -> AwsFault:
    """400: the request does not fit the state of the cluster."""
    names = ("clusterName", "nodegroupName", "addonName", "subscriptionId")
    return _fault("InvalidRequestException", 400, message, names, fields)


def not_found(message: str, **fields: Any) -> AwsFault:
    """404: no such thing."""
    names = ("clusterName", "nodegroupName", "fargateProfileName", "addonName", "subscriptionId")
    return _fault("ResourceNotFoundException", 404, message, names, fields)


def in_use(message: str, **fields: Any) -> AwsFault:
    """409: it exists already, or something hangs on it."""
    return _fault(
        "ResourceInUseException",
        409,
        message,
        ("clusterName", "nodegroupName", "addonName"),
        fields,
    )


def limit_exceeded(message: str, **fields: Any) -> AwsFault:
    """400: a quota."""
    names = ("clusterName", "nodegroupName", "subscriptionId")
    return _fault("ResourceLimitExceededException", 400, message, names, fields)


def unsupported_zone(message: str, zones: list[str], **fields: Any) -> AwsFault:
    """400: EKS does not run in the availability zone of a subnet."""
    return AwsFault(
        "UnsupportedAvailabilityZoneException",
        message,
        fields={"clusterName": None, "nodegroupName": None, **fields, "validZones": zones},
    )


def cluster_not_found(name: str) -> AwsFault:
    """404 for a cluster."""
    return not_found(f"No cluster found for name: {name}.", clusterName=name)


def nodegroup_not_found(cluster: str, name: str) -> AwsFault:
    """404 for a node group."""
    return not_found(
        f"No node group found for name: {name}.", clusterName=cluster, nodegroupName=name
    )


def _fault(
    code: str, status: int, message: str, names: tuple[str, ...], fields: dict[str, Any]
) -> AwsFault:
    return AwsFault(code, message, status=status, fields={**dict.fromkeys(names), **fields})
