"""A cluster on sockets, in a loop of its own thread, for clients that block."""

import asyncio
import base64
import json
import ssl
import threading
from pathlib import Path

from ekslab.kit.clock import WallClock, lab_clock
from ekslab.kit.rng import Rng
from ekslab.kube.cluster import Cluster, ClusterConfig
from tests.conformance.api import Api


class ServedCluster:
    """A control plane with controllers, scheduler and so many nodes, served on loopback."""

    def __init__(self, *, nodes: int = 0) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="cluster")
        self._thread.start()
        self.cluster = self._run(self._started(nodes))

    async def _started(self, nodes: int) -> Cluster:
        cluster = Cluster(
            ClusterConfig(name="conformance"),
            clock=lab_clock(asyncio.get_running_loop()),
            wall_clock=WallClock(),
            rng=Rng(0),
        )
        await cluster.start()
        await cluster.add_nodes(nodes)
        return cluster

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=30)

    def stop(self) -> None:
        """End the cluster and its thread."""
        self._run(self.cluster.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def compact(self) -> None:
        """Forget the past, as a store does by itself after some minutes."""
        store = self.cluster._store
        self._run(store.compact(store.revision))

    def credentials(self, home: Path, user: str, *groups: str) -> tuple[Path, Path]:
        """Certificate and key of a user, as files."""
        pair = self.cluster.authority.issue_client(user, groups, now=WallClock().now())
        files = home / f"{user}.crt", home / f"{user}.key"
        pair.save(*files)
        return files

    def api(self, *, certificate: tuple[Path, Path] | None = None, **headers: str) -> Api:
        """The way to this cluster of the bearer of a certificate, or of nobody."""
        context = ssl.create_default_context(cadata=self.cluster.authority_pem)
        if certificate is not None:
            context.load_cert_chain(*certificate)
        return Api(self.cluster.url, context, headers)

    def kubeconfig(self, home: Path, certificate: Path, key: Path) -> Path:
        """A kubeconfig of the bearer of a certificate. JSON is YAML."""
        authority = base64.b64encode(self.cluster.authority_pem.encode()).decode()
        cluster = {"server": self.cluster.url, "certificate-authority-data": authority}
        user = {"client-certificate": str(certificate), "client-key": str(key)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "admin"}}],
            "users": [{"name": "admin", "user": user}],
        }
        path = home / "kubeconfig"
        path.write_text(json.dumps(config))
        return path
