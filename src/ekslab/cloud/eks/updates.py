"""Updates: what changing calls of clusters and node groups return, and how they end."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from ekslab.cloud.eks.faults import not_found
from ekslab.cloud.eks.state import UPDATE, Asked, EksState, Wire, page

if TYPE_CHECKING:
    from ekslab.cloud.records import Record

_KEPT_MAX = 200


def begin(
    state: EksState,
    cluster: str,
    kind: str,
    params: Sequence[tuple[str, Any]],
    *,
    nodegroup: str = "",
    done: bool = False,
) -> Wire:
    """A new update; `done` when nothing is left to be done for it. The answer says `InProgress` in
    any case, as EKS does.
    """
    update: Wire = {
        "id": state.ids.uid(),
        "status": "InProgress",
        "type": kind,
        "params": [{"type": name, "value": _text(value)} for name, value in params],
        "createdAt": state.now(),
        "errors": [],
    }
    kept = {**update, "status": "Successful"} if done else update
    state.records.put(
        UPDATE,
        state.key(cluster, update["id"]),
        {"wire": kept, "own": {"nodegroup": nodegroup}},
    )
    for update_id in _of(state, cluster, nodegroup)[_KEPT_MAX:]:
        state.records.delete(UPDATE, state.key(cluster, update_id))
    return {"update": update}


def finish(state: EksState, cluster: str, *, nodegroup: str = "", failure: str = "") -> list[Wire]:
    """End the updates in progress of a cluster or node group; what they were."""
    ended = []
    for update_id, record in list(state.children(UPDATE, cluster)):
        wire = record["wire"]
        if record["own"]["nodegroup"] == nodegroup and wire["status"] == "InProgress":
            errors = [{"errorCode": "Unknown", "errorMessage": failure}] if failure else []
            status = "Failed" if failure else "Successful"
            state.change(
                UPDATE, state.key(cluster, update_id), record, status=status, errors=errors
            )
            ended.append(wire)
    return ended


def forget(state: EksState, cluster: str, *, nodegroup: str | None = None) -> None:
    """Drop the updates of a deleted node group, or (None) of a deleted cluster."""
    for update_id, record in list(state.children(UPDATE, cluster)):
        if nodegroup is None or record["own"]["nodegroup"] == nodegroup:
            state.records.delete(UPDATE, state.key(cluster, update_id))


def list_updates(asked: Asked) -> Wire:
    """`ListUpdates`: of the cluster, or of the node group named."""
    name, nodegroup = asked.params["name"], asked.params.get("nodegroupName", "")
    _check_owner(asked.state, name, nodegroup)
    return page(asked, _of(asked.state, name, nodegroup), "updateIds")


def describe_update(asked: Asked) -> Wire:
    """`DescribeUpdate`."""
    name, nodegroup = asked.params["name"], asked.params.get("nodegroupName", "")
    _check_owner(asked.state, name, nodegroup)
    record: Record | None = asked.state.records.get(
        UPDATE, asked.state.key(name, asked.params["updateId"])
    )
    if record is None or record["own"]["nodegroup"] != nodegroup:
        raise not_found(
            f"No update found for ID: {asked.params['updateId']}",
            clusterName=name,
            nodegroupName=nodegroup or None,
        )
    return {"update": record["wire"]}


def _check_owner(state: EksState, cluster: str, nodegroup: str) -> None:
    if nodegroup:
        state.nodegroup(cluster, nodegroup)
    else:
        state.cluster(cluster)


def _of(state: EksState, cluster: str, nodegroup: str) -> list[str]:
    """Ids of updates, newest first."""
    found = [
        (float(record["wire"]["createdAt"]), update_id)
        for update_id, record in state.children(UPDATE, cluster)
        if record["own"]["nodegroup"] == nodegroup
    ]
    return [update_id for _, update_id in sorted(found, reverse=True)]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
