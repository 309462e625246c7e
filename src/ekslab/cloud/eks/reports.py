"""What the bridge reports of control planes and node groups, put into the API's objects.

Every report may come twice; a report about something that is gone is ignored.
"""

import base64
from collections.abc import Callable

from ekslab.cloud.eks import networking, nodegroups, updates
from ekslab.cloud.eks.state import (
    ACCESS_ENTRY,
    CLUSTER,
    NODEGROUP,
    EksState,
    Wire,
    forget_tokens_of,
)
from ekslab.cloud.eks.versions import platform_version
from ekslab.cloud.ports import ControlPlaneReport, NodegroupReport
from ekslab.cloud.records import Record


class EksReports:
    """Implements `cloud.ports.Reports`."""

    def __init__(self, state: EksState, *, settle: Callable[[], None]) -> None:
        """`settle` makes a report durable and tells the change feed."""
        self._state = state
        self._settle = settle

    async def control_plane(self, report: ControlPlaneReport) -> None:
        """Set a cluster's state."""
        state = self._state.in_region(report.region)
        record = state.records.get(CLUSTER, state.key(report.cluster))
        if record is not None:
            if report.status == "DELETED":
                _forget_cluster(state, report.cluster, record)
            else:
                _apply_cluster(state, report, record)
        self._settle()

    async def nodegroup(self, report: NodegroupReport) -> None:
        """Set a node group's state."""
        state = self._state.in_region(report.region)
        key = state.key(report.cluster, report.nodegroup)
        record = state.records.get(NODEGROUP, key)
        if record is not None:
            if report.status == "DELETED":
                _forget_nodegroup(state, report, record)
            else:
                _apply_nodegroup(state, report, key, record)
        self._settle()


def _apply_cluster(state: EksState, report: ControlPlaneReport, record: Record) -> None:
    before = record["wire"]
    if before["status"] == "DELETING":
        return
    wire: Wire = {}
    own = record["own"]
    if report.status == "ACTIVE":
        wire["status"] = "ACTIVE"
        wire["identity"] = {"oidc": {"issuer": report.oidc_issuer or own["oidcIssuer"]}}
        if report.endpoint:
            wire["endpoint"] = report.endpoint
        if report.certificate_authority_pem:
            data = base64.b64encode(report.certificate_authority_pem.encode()).decode()
            wire["certificateAuthority"] = {"data": data}
        if own.get("wantedVersion"):
            wire["version"] = own["wantedVersion"]
            wire["platformVersion"] = platform_version(own["wantedVersion"])
            own = {key: value for key, value in own.items() if key != "wantedVersion"}
        updates.finish(state, report.cluster)
    elif report.status == "FAILED":
        # A running cluster whose change failed stays as it was; one that never ran has failed.
        wire["status"] = "FAILED" if before["status"] == "CREATING" else "ACTIVE"
        issue = {"code": "Other", "message": report.message, "resourceIds": []}
        wire["health"] = {"issues": [issue]}
        own = {key: value for key, value in own.items() if key != "wantedVersion"}
        updates.finish(state, report.cluster, failure=report.message or "failed")
    if any(before.get(name) != value for name, value in wire.items()) or own != record["own"]:
        state.change(CLUSTER, state.key(report.cluster), {**record, "own": own}, **wire)


def _forget_cluster(state: EksState, cluster: str, record: Record) -> None:
    networking.remove_cluster_network(
        state,
        record["wire"]["resourcesVpcConfig"]["clusterSecurityGroupId"],
        record["own"]["interfaces"],
    )
    for kind in (ACCESS_ENTRY, NODEGROUP):
        for child, _ in list(state.children(kind, cluster)):
            state.records.delete(kind, state.key(cluster, child))
    updates.forget(state, cluster)
    forget_tokens_of(state, state.key(cluster))
    state.records.delete(CLUSTER, state.key(cluster))


def _apply_nodegroup(state: EksState, report: NodegroupReport, key: str, record: Record) -> None:
    before = record["wire"]
    if before["status"] == "DELETING" and report.status != "DELETE_FAILED":
        return
    wire: Wire = {
        "status": report.status,
        "health": {"issues": [dict(issue) for issue in report.issues]},
    }
    if report.autoscaling_groups:
        groups = [{"name": name} for name in report.autoscaling_groups]
        wire["resources"] = {"autoScalingGroups": groups}
    if report.status in {"ACTIVE", "DEGRADED", "CREATE_FAILED"}:
        failure = "" if report.status == "ACTIVE" else report.status
        updates.finish(state, report.cluster, nodegroup=report.nodegroup, failure=failure)
    if any(before.get(name) != value for name, value in wire.items()):
        state.change(NODEGROUP, key, record, **wire)


def _forget_nodegroup(state: EksState, report: NodegroupReport, record: Record) -> None:
    key = state.key(report.cluster, report.nodegroup)
    state.records.delete(NODEGROUP, key)
    updates.forget(state, report.cluster, nodegroup=report.nodegroup)
    forget_tokens_of(state, key)
    nodegroups.forget_role_entry(state, report.cluster, record["wire"]["nodeRole"])
