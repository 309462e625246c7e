"""The provisioner: for every EKS cluster of the account a control plane that runs.

Level-triggered by cluster name from the change feed. What is on disk is started at once, before
the feed has answered, so that a lab that comes back answers kubectl while its AWS side still
loads; what the account does not have (any more) is then taken down and deleted.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from ekslab.bridge.aws.mirror import Mirror
from ekslab.bridge.reconciling import ReconcileLoop
from ekslab.cloud.ports import ControlPlaneReport, Reports
from ekslab.kit import logs
from ekslab.kit.clock import Clock
from ekslab.kit.ids import Ids
from ekslab.kube.cluster import Cluster

_WORKERS: Final = 4
_UNFINISHED: Final = frozenset({"CREATING", "UPDATING"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlaneRecord:
    """What a control plane was made with; kept beside its store.

    `created_at` is the EKS cluster's `createdAt` and tells a cluster from a later one of the same
    name; "" until the account has confirmed it. `port` 0 stands for any.
    """

    name: str
    version: str
    service_cidr: str
    issuer: str
    created_at: str = ""
    port: int = 0


class RunningControlPlane(Protocol):
    """A control plane with everything of EKS around it."""

    record: ControlPlaneRecord
    cluster: Cluster

    async def stop(self) -> None:
        """Stop it; what it holds stays on disk."""


class Launcher(Protocol):
    """Starts control planes with all that belongs to them."""

    async def launch(
        self, record: ControlPlaneRecord, *, data_dir: Path | None
    ) -> RunningControlPlane:
        """Start one."""

    async def confirmed(self, running: RunningControlPlane, described: Mapping[str, Any]) -> None:
        """The account has this cluster: do what needs to know it (default add-ons)."""

    async def announce(self, running: RunningControlPlane, described: Mapping[str, Any]) -> None:
        """Tell the cluster where its own endpoint is in the VPC."""


class ControlPlanes:
    """Reconciles running control planes with the clusters of the account."""

    def __init__(
        self,
        *,
        mirror: Mirror,
        reports: Reports,
        launcher: Launcher,
        data_dir: Path | None,
        account: str,
        region: str,
        clock: Clock,
        ids: Ids,
        on_up: Callable[[str], None],
        on_down: Callable[[str], None],
    ) -> None:
        """`data_dir` holds a folder per cluster; None keeps everything in memory."""
        self._mirror = mirror
        self._reports = reports
        self._launcher = launcher
        self._data_dir = data_dir
        self._account = account
        self._region = region
        self._ids = ids
        self._on_up = on_up
        self._on_down = on_down
        self._loop = ReconcileLoop(
            self._reconcile, name="control-planes", clock=clock, workers=_WORKERS
        )
        self._running: dict[str, RunningControlPlane] = {}
        self._log = logs.get("control-planes")

    def get(self, name: str) -> RunningControlPlane | None:
        """The control plane of a cluster, if it runs."""
        return self._running.get(name)

    def all(self) -> list[RunningControlPlane]:
        """All that run."""
        return list(self._running.values())

    async def start_known(self) -> None:
        """Start what is on disk."""
        for record in self._records():
            await self._launch(record)

    async def start_ahead(self, name: str, *, version: str, service_cidr: str) -> None:
        """Start a control plane that the account is about to get, unless it is there."""
        if name not in self._running:
            issuer = f"https://oidc.eks.{self._region}.amazonaws.com/id/{self._ids.hex(32).upper()}"
            await self._launch(
                ControlPlaneRecord(
                    name=name, version=version, service_cidr=service_cidr, issuer=issuer
                )
            )

    async def run(self) -> None:
        """Reconcile until cancelled; then stop every control plane."""
        try:
            await self._mirror.wait_synced()
            for name in self._running:
                self._loop.add(name)
            self._mirror.on_change("eks:cluster", self._on_change)
            await self._loop.run()
        finally:
            for running in list(self._running.values()):
                await running.stop()
            self._running.clear()

    def _on_change(
        self, _ident: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
    ) -> None:
        changed = new or old
        assert changed is not None
        self._loop.add(changed["name"])

    async def _reconcile(self, name: str) -> float:
        described = self._described(name)
        running = self._running.get(name)
        if described is None and running is not None and not running.record.created_at:
            return 0.0  # started ahead: the account is about to ask for it
        if described is None or described["status"] == "DELETING":
            await self._remove(name)
            if described is not None:
                await self._report(name, "DELETED")
            return 0.0
        if running is not None and not _is_same(running.record, described):
            await self._remove(name)
            running = None
        if running is None:
            running = await self._launch(_record_of(described))
        if not running.record.created_at:
            await self._launcher.confirmed(running, described)
            running.record = replace(running.record, created_at=str(described["createdAt"]))
            self._save(running.record)
        if described["_wantedVersion"] != running.record.version:
            running = await self._upgrade(running, described["_wantedVersion"])
        await self._launcher.announce(running, described)
        if described["status"] in _UNFINISHED or described.get("endpoint") != running.cluster.url:
            await self._report(name, "ACTIVE", running)
        return 0.0

    async def _upgrade(self, running: RunningControlPlane, version: str) -> RunningControlPlane:
        """Start the control plane anew as another Kubernetes version, over the same store."""
        name = running.record.name
        self._log.info("upgrading", cluster=name, version=version)
        del self._running[name]
        self._on_down(name)
        await running.stop()
        return await self._launch(replace(running.record, version=version))

    def _described(self, name: str) -> Mapping[str, Any] | None:
        for _, cluster in self._mirror.all("eks:cluster"):
            if cluster["name"] == name:
                return cluster
        return None

    async def _launch(self, record: ControlPlaneRecord) -> RunningControlPlane:
        folder = self._folder(record.name)
        self._save(record)
        running = await self._launcher.launch(record, data_dir=folder)
        running.record = replace(record, port=running.cluster.port)
        self._save(running.record)
        self._running[record.name] = running
        self._log.info("control plane runs", cluster=record.name, endpoint=running.cluster.url)
        self._on_up(record.name)
        return running

    async def _remove(self, name: str) -> None:
        running = self._running.pop(name, None)
        if running is not None:
            self._on_down(name)
            await running.stop()
        folder = self._folder(name)
        if folder is not None and folder.exists():
            shutil.rmtree(folder)
            self._log.info("control plane deleted", cluster=name)

    async def _report(
        self, name: str, status: str, running: RunningControlPlane | None = None
    ) -> None:
        await self._reports.control_plane(
            ControlPlaneReport(
                account=self._account,
                region=self._region,
                cluster=name,
                status=status,
                endpoint=running.cluster.url if running else "",
                certificate_authority_pem=running.cluster.authority_pem if running else "",
                oidc_issuer=running.record.issuer if running else "",
            )
        )

    def _folder(self, name: str) -> Path | None:
        return self._data_dir / name if self._data_dir is not None else None

    def _save(self, record: ControlPlaneRecord) -> None:
        folder = self._folder(record.name)
        if folder is None:
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = folder / ".cluster.json.new"
        temporary.write_text(json.dumps(asdict(record), indent=2) + "\n")
        temporary.replace(folder / "cluster.json")

    def _records(self) -> list[ControlPlaneRecord]:
        if self._data_dir is None or not self._data_dir.exists():
            return []
        return [
            ControlPlaneRecord(**json.loads(path.read_text()))
            for path in sorted(self._data_dir.glob("*/cluster.json"))
        ]


def _record_of(described: Mapping[str, Any]) -> ControlPlaneRecord:
    return ControlPlaneRecord(
        name=described["name"],
        version=described["version"],
        service_cidr=described["kubernetesNetworkConfig"]["serviceIpv4Cidr"],
        issuer=described["_oidcIssuer"],
    )


def _is_same(record: ControlPlaneRecord, described: Mapping[str, Any]) -> bool:
    """Whether the control plane on disk is that of the account's cluster, not of a namesake."""
    if not record.created_at:
        return record.service_cidr == str(described["kubernetesNetworkConfig"]["serviceIpv4Cidr"])
    return record.created_at == str(described["createdAt"])
