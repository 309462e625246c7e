"""The clusters process: control planes, simulated nodes, and the bridge to the account."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from ekslab.bridge.aws.client import AwsClient, AwsError
from ekslab.bridge.aws.cloud_socket import CloudSocket
from ekslab.bridge.aws.http_endpoint import HttpEndpoint
from ekslab.bridge.bridge import Bridge, Surroundings
from ekslab.cloud.keys import Keys
from ekslab.kit import logs
from ekslab.kit.clock import Clock, WallClock, lab_clock
from ekslab.kit.rng import Rng, fresh_seed
from ekslab.kit.serving import AsgiServer, unix_listener
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.schema import catalog
from ekslab.kube.api.well_known import PODS
from ekslab.kube.cluster import StoreError
from ekslab.lab import first_cluster, kubeconfig, process
from ekslab.lab.control import ControlApp
from ekslab.lab.home import Home, LabConfig, LabError, write_private

_LOOK_AGAIN_S: Final = 0.01


class ClustersProcess:
    """What runs in the clusters process."""

    def __init__(self, home: Home, config: LabConfig) -> None:
        loop = asyncio.get_running_loop()
        self._home = home
        self._config = config
        self._clock: Clock = lab_clock(loop)
        self._wall_clock = WallClock()
        self._version = config.kubernetes_version or catalog.DEFAULT_VERSION
        self._cloud = CloudSocket(home.socket("cloud"), clock=self._clock)
        self._account: Mapping[str, Any] = {}
        self._bridge: Bridge | None = None
        self._steps: list[str] = []
        self._is_made = False
        self._log = logs.get("clusters")

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop."""
        control = AsgiServer(self._control_app(), unix_listener(self._home.socket("clusters")))
        await control.start()
        try:
            async with TaskGroup("clusters") as tasks:
                tasks.start(self._run_bridge(), name="bridge")
                await stop.wait()
                tasks.cancel()
        finally:
            await control.stop()
            await self._cloud.close()

    async def _run_bridge(self) -> None:
        endpoint = HttpEndpoint()
        bridge = self._bridge = Bridge(
            Surroundings(
                endpoint=endpoint,
                feed=self._cloud,
                reports=self._cloud,
                credentials=self._cloud,
                account=self._config.account,
                region=self._config.region,
                clock=self._clock,
                wall_clock=self._wall_clock,
                rng=Rng(fresh_seed()),
                data_dir=None if self._config.ephemeral else self._home.clusters,
            )
        )
        try:
            await self._start_control_planes(bridge)
        except StoreError as error:
            raise LabError(str(error)) from error
        self._note_control_plane(bridge)
        process.is_up()
        self._account = await self._cloud.wait_status()
        self._step(f"AWS endpoint at {self._account['endpoint']}")
        async with endpoint.open(self._account["endpoint"]), TaskGroup("bridge") as tasks:
            tasks.start(bridge.run(), name="bridge")
            if not self._home.made.exists():
                await self._make_first_cluster(endpoint, bridge)
                self._home.made.touch()
            self._is_made = True

    async def _start_control_planes(self, bridge: Bridge) -> None:
        await bridge.control_planes.start_known()
        if self._home.made.exists():
            self._follow_port(bridge)
        else:
            await bridge.control_planes.start_ahead(
                first_cluster.NAME, version=self._version, service_cidr=first_cluster.SERVICE_CIDR
            )

    def _note_control_plane(self, bridge: Bridge) -> None:
        for running in bridge.control_planes.all():
            if running.record.name == first_cluster.NAME:
                self._step(f"Kubernetes {running.record.version} at {running.cluster.url}")

    def _step(self, text: str) -> None:
        self._steps.append(text)
        self._log.info("step", text=text)

    async def _make_first_cluster(self, endpoint: HttpEndpoint, bridge: Bridge) -> None:
        """Once, when the lab is new: afterwards its clusters are the user's own affair."""
        loaded = json.loads(self._home.credentials.read_text())
        keys = Keys(loaded["access_key_id"], loaded["secret_access_key"])
        region, account = self._config.region, self._config.account
        aws = AwsClient(endpoint, lambda: keys, region=region, wall_clock=self._wall_clock)
        try:
            await first_cluster.ensure_cluster(aws, account=account, version=self._version)
            while self._row(first_cluster.NAME).get("status") != "ACTIVE":
                await self._clock.sleep(_LOOK_AGAIN_S)
            self._step(f"cluster {first_cluster.NAME} is ACTIVE")
            await first_cluster.ensure_nodegroup(aws, self._config, account=account)
        except AwsError as error:
            if error.retryable:
                raise
            raise LabError(f"the account refused the first cluster: {error}") from error
        self._write_kubeconfig(bridge)

    def _follow_port(self, bridge: Bridge) -> None:
        """Where the first cluster's port was taken meanwhile, the kubeconfig names the new one."""
        running = bridge.control_planes.get(first_cluster.NAME)
        if running is None or not self._home.kubeconfig.exists():
            return
        text = kubeconfig.with_server(
            self._home.kubeconfig.read_text(),
            name=first_cluster.NAME,
            account=self._config.account,
            region=self._config.region,
            url=running.cluster.url,
        )
        if text is not None:
            write_private(self._home.kubeconfig, text)

    def _write_kubeconfig(self, bridge: Bridge) -> None:
        running = bridge.control_planes.get(first_cluster.NAME)
        assert running is not None, "an ACTIVE cluster runs"
        text = kubeconfig.render(
            name=first_cluster.NAME,
            account=self._config.account,
            region=self._config.region,
            url=running.cluster.url,
            authority_pem=running.cluster.authority_pem,
            home=self._home.path,
        )
        write_private(self._home.kubeconfig, text)

    def _control_app(self) -> ControlApp:
        return ControlApp(
            {
                ("GET", "/status"): self._status,
                ("GET", "/logs"): process.logs_of(self._home),
                ("POST", "/nodes"): self._add_nodes,
                ("POST", "/stop"): process.stop_lab,
            }
        )

    async def _status(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        first = self._row(first_cluster.NAME)
        wanted = self._config.nodes
        active = self._is_made and first.get("status") == "ACTIVE"
        nodes_ready = first.get("nodes_ready", 0)
        steps = list(self._steps)
        if wanted and active:
            steps.append(f"{min(nodes_ready, wanted)} of {wanted} nodes Ready")
        return {
            **process.vitals(),
            "endpoint": self._account.get("endpoint", ""),
            "account": self._config.account,
            "region": self._config.region,
            "cluster": first_cluster.NAME,
            "kubernetes_version": self._version,
            "nodes_ready": nodes_ready,
            "ready": bool(active and (nodes_ready >= wanted or self._is_old)),
            "steps": steps,
            "clusters": self._rows(),
        }

    @property
    def _is_old(self) -> bool:
        """A lab that was up before may have had its node group changed: do not wait for it."""
        bridge = self._bridge
        if bridge is None:
            return False
        groups = dict(bridge.mirror.all("eks:nodegroup"))
        ours = groups.get(f"{first_cluster.NAME}/{first_cluster.NODEGROUP}")
        return ours is None or int(ours["scalingConfig"]["desiredSize"]) != self._config.nodes

    def _rows(self) -> list[dict[str, Any]]:
        if self._bridge is None:
            return []
        described = dict(self._bridge.mirror.all("eks:cluster"))
        by_name = {cluster["name"]: cluster for cluster in described.values()}
        rows = []
        for running in self._bridge.control_planes.all():
            name = running.record.name
            side = self._bridge.side(name)
            rows.append(
                {
                    "name": name,
                    "status": by_name.get(name, {}).get("status", "CREATING"),
                    "version": running.record.version,
                    "endpoint": running.cluster.url,
                    "nodes": len(side.nodes.list()) if side is not None else 0,
                    "nodes_ready": side.count_ready() if side is not None else 0,
                    "pods": running.cluster.count(PODS),
                }
            )
        return rows

    def _row(self, name: str) -> dict[str, Any]:
        return next((row for row in self._rows() if row["name"] == name), {})

    async def _add_nodes(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        bridge = self._bridge
        running = bridge.control_planes.get(body["cluster"]) if bridge is not None else None
        if bridge is None or running is None:
            raise LabError(f"no cluster {body['cluster']!r} runs in this lab")
        try:
            size = await bridge.size_of(body["instance_type"])
        except AwsError as error:
            raise LabError(error.message) from error
        from ekslab.bridge.nodes import sizes

        added = await running.cluster.add_nodes(
            int(body["count"]), capacity=sizes.capacity(size), allocatable=sizes.allocatable(size)
        )
        return {"added": added}


async def _main(home: Home, stop: asyncio.Event) -> None:
    config = home.load_config()
    if config is None:
        raise LabError(f"there is no lab in {home.path}; start one with `ekslab up`")
    await ClustersProcess(home, config).run(stop)


def main(home: str) -> int:
    """Run the process for the lab in this directory."""
    return process.run("clusters", home, _main)
