"""Writing `kube-system/aws-auth`: the line that lets a node group's role log in."""

import yaml

from ekslab.bridge.identity import arns
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.yaml_text import check_depth

_GROUPS = ["system:bootstrappers", "system:nodes"]
_USERNAME = "system:node:{{EC2PrivateDNSName}}"


def with_node_role(current: Object | None, role_arn: str) -> Object:
    """The ConfigMap with a line for this role; `current` itself if it is there already.

    Role ARNs are written without path there (see `arns`).
    """
    role = arns.without_path(role_arn)
    data = dict((current or {}).get("data") or {})
    text = data.get("mapRoles") or "[]"
    check_depth(text.encode())
    loaded = yaml.load(text, Loader=yaml.CSafeLoader)
    rows = loaded if isinstance(loaded, list) else []
    if current is not None and any(_role_of(row) == role.lower() for row in rows):
        return current
    rows = [*rows, {"groups": _GROUPS, "rolearn": role, "username": _USERNAME}]
    data["mapRoles"] = yaml.safe_dump(rows, sort_keys=True)
    if current is not None:
        return {**current, "data": data}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "aws-auth", "namespace": "kube-system"},
        "data": data,
    }


def _role_of(row: object) -> str:
    return str(row.get("rolearn", "")).lower() if isinstance(row, dict) else ""
