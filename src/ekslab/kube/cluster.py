"""Composes ONE control plane with its simulated nodes: the only place that knows every room.

    store <- API server <- HTTP, in-process clients <- controllers, scheduler, node agents

A cluster is a library object, a tenant: it owns its port, its certificate authority and its data
directory, and shares schemas and documents with every other cluster of its Kubernetes version.

Controllers, scheduler and nodes are clients of the API and take longer to import than the API
server takes to start: they are imported where they are made, when the endpoint is open.
"""

import errno
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ekslab.kit import logs
from ekslab.kit.clock import Clock, WallClock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kit.serving import HttpServer, tcp_listener
from ekslab.kit.tasks import Service, TaskGroup
from ekslab.kit.turns import Turns
from ekslab.kube.api.ports import (
    Answer,
    Authenticator,
    Authorizer,
    Client,
    Lister,
    NodeConnection,
    PatchType,
)
from ekslab.kube.api.requests import ApiRequest, Attributes, Object, UserInfo
from ekslab.kube.api.resources import Resource, ResourceInfo
from ekslab.kube.api.schema import catalog
from ekslab.kube.api.well_known import (
    AUTHENTICATED_GROUP,
    MASTERS_GROUP,
    NODE_USER_PREFIX,
    NODES,
    NODES_GROUP,
    SERVICE_ACCOUNTS_GROUP,
)
from ekslab.kube.apiserver.admission import default_plugins
from ekslab.kube.apiserver.bootstrap import Advertised, bootstrap
from ekslab.kube.apiserver.documents import git_version_of
from ekslab.kube.apiserver.encryption import open_encrypted
from ekslab.kube.apiserver.http import HttpApp
from ekslab.kube.apiserver.lister import StoreLister
from ekslab.kube.apiserver.server import Access, ApiServer, ServerConfig
from ekslab.kube.auth import pki
from ekslab.kube.auth.authenticators import AuthenticatorChain, CertificateAuthenticator
from ekslab.kube.auth.authorizers import AuthorizerChain, MastersAuthorizer
from ekslab.kube.auth.cluster_keys import ClusterKeys
from ekslab.kube.auth.node import NodeAuthorizer
from ekslab.kube.auth.rbac import MissingRoleError, RbacAuthorizer
from ekslab.kube.auth.service_accounts import (
    ServiceAccountAuthenticator,
    ServiceAccountTokens,
    TokenPolicy,
    service_account_user,
)
from ekslab.kube.auth.tokens import TokenFormat
from ekslab.kube.client.in_process import InProcessClient
from ekslab.kube.net.address_pools import AddressPool, NodeSlices, PoolExhaustedError
from ekslab.kube.store.memory import MemoryStore
from ekslab.kube.store.port import StoreError

if TYPE_CHECKING:
    from ekslab.kube.apiserver.audit import Auditor
    from ekslab.kube.node.simulated.agent import NodeSpec, SimulatedNodes
    from ekslab.kube.runtime.controller import Toolbox

__all__ = ["ADMIN", "Cluster", "ClusterConfig", "StoreError"]

_HOST: Final = "127.0.0.1"
ADMIN: Final = UserInfo(name="system:apiserver", groups=(MASTERS_GROUP, AUTHENTICATED_GROUP))
_SCHEDULER: Final = UserInfo(name="system:kube-scheduler", groups=(AUTHENTICATED_GROUP,))
# The lab's own eye on the pods of its simulated fleet: one watch instead of one per node.
_FLEET: Final = UserInfo(name="ekslab:fleet", groups=(MASTERS_GROUP, AUTHENTICATED_GROUP))
# EKS shortens what upstream leaves at a year (EKS user guide, service account tokens).
_TOKEN_POLICY: Final = TokenPolicy(extended_s=90 * 86_400, most_s=86_400)
_RENEWAL_CHECK_S: Final = 3600.0
_REQUESTS_A_TURN: Final = 32  # some 10 ms of work


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """What one control plane is made with.

    Attributes:
        name: for logs and certificates.
        kubernetes_version: one of `catalog.SUPPORTED_VERSIONS`.
        service_cidr: where Services get their addresses from.
        pod_cidr: where pods of nodes without a VPC get theirs from.
        node_cidr: where such nodes get theirs from.
        issuer: issuer of service account tokens.
        data_dir: store, keys and certificates; None keeps everything in memory.
        port: of the HTTPS endpoint on loopback; 0 takes any, None serves no socket.
        server_names: DNS names of the endpoint beside the usual ones.
    """

    name: str
    kubernetes_version: str = catalog.DEFAULT_VERSION
    service_cidr: str = "10.100.0.0/16"
    pod_cidr: str = "10.128.0.0/9"
    node_cidr: str = "100.64.0.0/10"
    issuer: str = "https://kubernetes.default.svc.cluster.local"
    data_dir: Path | None = None
    port: int | None = 0
    server_names: tuple[str, ...] = ()


class Cluster:
    """One control plane: start it, talk to it through clients, stop it."""

    def __init__(
        self,
        config: ClusterConfig,
        *,
        clock: Clock,
        wall_clock: WallClock,
        rng: Rng,
        authenticators: Sequence[Authenticator] = (),
    ) -> None:
        """`authenticators` are asked after those of the cluster itself (the IAM authenticator).

        Raises:
            OSError, StoreError: the data directory cannot be used.
            UnsupportedVersionError: there is no such Kubernetes version here.
        """
        self.config = config
        self._clock = clock
        self._wall_clock = wall_clock
        self._rng = rng
        self._ids = Ids(rng.fork("ids"))
        self._catalog = catalog.load(config.kubernetes_version)
        self._keys = ClusterKeys(
            config.data_dir,
            service_cidr=config.service_cidr,
            server_names=config.server_names,
            now=wall_clock.now(),
        )
        self._store = open_encrypted(config.data_dir) if config.data_dir else MemoryStore()
        self.lister: Lister = StoreLister(self._store)
        self._rbac = RbacAuthorizer(self.lister)
        self._extra_authorizers: list[Authorizer] = []
        self.authenticator = self._authenticators(authenticators)
        self._slices = NodeSlices(config.pod_cidr, now=clock.now)
        self._node_addresses = AddressPool(config.node_cidr, now=clock.now)
        self._turns = Turns(_REQUESTS_A_TURN)
        self._server: ApiServer | None = None
        self._app: HttpApp | None = None
        self._serving: HttpServer | None = None
        self._running: Service | None = None

    def add_authorizer(self, authorizer: Authorizer) -> None:
        """Ask this one too, after RBAC. Before `start` only."""
        self._extra_authorizers.append(authorizer)

    async def start(self) -> None:
        """Serve, make the default objects, run nodes, controllers and scheduler.

        Raises:
            OSError: the port cannot be used.
        """
        await self.serve()
        self.run_components()

    async def serve(self) -> None:
        """Make the default objects and open the endpoint.

        Raises:
            OSError: the port cannot be used.
        """
        self._server = self._make_server()
        listener = self._listen()
        port = listener.getsockname()[1] if listener is not None else 0
        ca_pem = self.authority_pem
        await bootstrap(self._server, Advertised(address=_HOST, port=port, client_ca_pem=ca_pem))
        if listener is not None:
            self._app = HttpApp(self._server, self.authenticator, ids=self._ids)
            if self.config.data_dir is not None:
                self._app.auditor = self._auditor(self.config.data_dir, self._server)
            self._serving = HttpServer(self._app, listener, tls=self._keys.tls_context())
            await self._serving.start()

    def _auditor(self, folder: Path, server: ApiServer) -> "Auditor | None":
        """Who tells of requests, where there is a policy for it."""
        policy = folder / "audit-policy.yaml"
        if not policy.exists():
            return None
        from ekslab.kube.apiserver.audit_log import auditor_by

        return auditor_by(policy, now=self._wall_clock.now, decide=server.verdict)

    def run_components(self) -> None:
        """Run nodes, controllers and scheduler; once, when the cluster serves."""
        self._boot_standalone()
        self._running = Service(self._run(), name=f"cluster-{self.config.name}")

    def _listen(self) -> socket.socket | None:
        """The endpoint's socket; where the port it had is another's now, any free one."""
        port = self.config.port
        if port is None:
            return None
        try:
            return tcp_listener(_HOST, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port == 0:
                raise
            log = logs.get("cluster")
            log.warning("port taken, using another", cluster=self.config.name, port=port)
            return tcp_listener(_HOST, 0)

    async def stop(self) -> None:
        """End everything; what is in the data directory stays.

        Watches end first, then what is being answered, then nodes, controllers and scheduler.
        """
        if self._app is not None:
            self._app.begin_ending()
        if self._serving is not None:
            await self._serving.stop()
        if self._running is not None:
            await self._running.stop()
        if self._server is not None:
            await self._server.close()
        await self._store.close()

    async def wait(self) -> None:
        """Wait until the cluster ends by itself; raises what ended it."""
        assert self._running is not None, "the cluster was not started"
        await self._running.wait()

    @property
    def port(self) -> int:
        """The port of the endpoint; 0 without one."""
        return self._serving.port if self._serving is not None else 0

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"https://{_HOST}:{self.port}"

    @property
    def authority_pem(self) -> str:
        """The certificate that clients trust."""
        return self._keys.authority.certificate_pem.decode()

    @property
    def authority(self) -> pki.Authority:
        """The cluster's CA, to issue client certificates with."""
        return self._keys.authority

    @property
    def git_version(self) -> str:
        """The full Kubernetes version as `/version` says it: `v1.36.0-eks-0123456`."""
        return git_version_of(self.config.kubernetes_version)

    def client(self, user: UserInfo, *, field_manager: str = "ekslab") -> Client:
        """An in-process client bound to one identity."""
        return InProcessClient(self, user, field_manager=field_manager)

    @cached_property
    def nodes(self) -> "SimulatedNodes":
        """The cluster's simulated nodes."""
        from ekslab.kube.node.simulated.agent import SimulatedNodes

        return SimulatedNodes(clock=self._clock, fleet=self.client(_FLEET, field_manager="kubelet"))

    def connect(self, node_name: str) -> NodeConnection:
        """The API server's way to a node: the cluster is its `NodeConnections`.

        Raises:
            ApiError: 404 for an unknown node, 500 for one that does not answer.
        """
        return self.nodes.connect(node_name)

    def toolbox(self, user: UserInfo, *, component: str) -> "Toolbox":
        """What a controller that acts as `user` is given."""
        from ekslab.kube.client.informers import InformerFactory
        from ekslab.kube.runtime.controller import Toolbox
        from ekslab.kube.runtime.events import EventRecorder

        client = self.client(user, field_manager=component)
        return Toolbox(
            client=client,
            informers=InformerFactory(client, clock=self._clock),
            events=EventRecorder(client, component=component, clock=self._clock),
            clock=self._clock,
            rng=self._rng.fork(component),
            ids=self._ids,
        )

    def role_allows(self, role: str, attributes: Attributes) -> bool:
        """Whether the rules of a ClusterRole allow a request, whatever bindings say."""
        reference = {"kind": "ClusterRole", "name": role}
        try:
            rules = self._rbac.rules_of(reference, attributes.namespace)
        except MissingRoleError:
            return False
        return any(rule.allows(attributes) for rule in rules)

    def count(self, resource: Resource) -> int:
        """How many objects of a type there are."""
        return len(self.lister.list(resource))

    async def add_nodes(
        self,
        count: int,
        *,
        capacity: Mapping[str, str] | None = None,
        allocatable: Mapping[str, str] | None = None,
    ) -> int:
        """Boot simulated nodes that have no machine behind them; gives how many.

        Their pods get addresses from slices of `pod_cidr`; they are of one size.
        """
        from ekslab.kube.node.standalone import node_specs

        taken = [item.name for item in self.lister.list(NODES) if item.name.startswith("sim-")]
        first = int(max(taken, default="sim-0")[4:]) + 1
        specs = node_specs(count, address=self._node_addresses.allocate, first=first)
        if capacity is not None and allocatable is not None:
            specs = [replace(one, capacity=capacity, allocatable=allocatable) for one in specs]
        self._boot(specs)
        return len(specs)

    def _boot_standalone(self) -> None:
        """Boot the nodes that ran without a machine before this process did."""
        nodes = [item.object for item in self.lister.list(NODES)]
        if not nodes:
            return
        from ekslab.kube.node.standalone import is_standalone, spec_of

        specs = [spec_of(node) for node in nodes if is_standalone(node)]
        for spec in specs:
            self._node_addresses.claim(spec.name, spec.addresses[0]["address"])
        self._boot(specs)

    def _boot(self, specs: "Sequence[NodeSpec]") -> None:
        from ekslab.kube.node.standalone import PoolAddresses

        for spec in specs:
            pool = self._slices.pool(spec.name, spec.pod_cidr)
            sliced = replace(spec, pod_cidr=pool.cidr, kubelet_version=self.git_version)
            self.nodes.add(
                sliced,
                self.node_client(spec.name),
                PoolAddresses(pool, exhausted=PoolExhaustedError),
            )

    def node_client(self, name: str) -> Client:
        """A client with the identity of a node."""
        user = UserInfo(name=NODE_USER_PREFIX + name, groups=(NODES_GROUP, AUTHENTICATED_GROUP))
        return self.client(user, field_manager="kubelet")

    async def apply(self, objects: Iterable[Object], *, user: UserInfo, field_manager: str) -> None:
        """Apply objects server-side, in order, as one user and field manager."""
        client = self.client(user, field_manager=field_manager)
        for obj in objects:
            info = self._catalog.by_kind[obj["apiVersion"], obj["kind"]]
            await client.patch(
                info.resource,
                obj["metadata"]["name"],
                obj["metadata"].get("namespace", ""),
                patch=obj,
                patch_type=PatchType.APPLY,
            )

    def _authenticators(self, extra: Sequence[Authenticator]) -> AuthenticatorChain:
        now = self._wall_clock.now
        self._tokens = ServiceAccountTokens(
            TokenFormat(self.config.issuer, self._keys.signing_key),
            self.lister,
            ids=self._ids,
            now=now,
            policy=_TOKEN_POLICY,
        )
        return AuthenticatorChain(
            [
                CertificateAuthenticator(self._keys.authority.certificate, now=now),
                ServiceAccountAuthenticator(self._tokens),
                *extra,
            ],
            now=now,
        )

    def _make_server(self) -> ApiServer:
        authorizer = AuthorizerChain(
            [
                MastersAuthorizer(),
                NodeAuthorizer(self.lister),
                self._rbac,
                *self._extra_authorizers,
            ]
        )
        return ApiServer(
            catalog=self._catalog,
            store=self._store,
            access=Access(
                authenticator=self.authenticator,
                authorizer=authorizer,
                rules=self._rbac,
                tokens=self._tokens,
            ),
            admission=default_plugins(
                self.lister, self._clock, self._ids, authorizer=authorizer, store=self._store
            ),
            clock=self._clock,
            ids=self._ids,
            nodes=self,
            config=ServerConfig(service_cidr=self.config.service_cidr),
        )

    async def handle(self, request: ApiRequest) -> Answer:
        """Carry out one request of a client in this process: the cluster is a `RequestHandler`.

        Bursts of them (a thousand nodes that renew their leases) leave others room to be heard.
        """
        assert self._server is not None, "the cluster was not started"
        await self._turns.take()
        return await self._server.handle(request)

    async def _run(self) -> None:
        async with TaskGroup(self.config.name) as tasks:
            tasks.start(self._renew_certificates(), name="certificates")
            tasks.start(self._keep_flow_statuses(), name="flow-statuses")
            tasks.start(self._follow_definitions(), name="custom-resources")
            # Each imports what it runs; in between, requests are answered.
            for name, component in (
                ("nodes", self._run_nodes),
                ("controllers", self._run_controllers),
                ("scheduler", self._run_scheduler),
            ):
                tasks.start(component(), name=name)
                await self._clock.sleep(0)

    async def _follow_definitions(self) -> None:
        assert self._server is not None, "the cluster was not started"
        await self._server.run()

    async def _keep_flow_statuses(self) -> None:
        from ekslab.kube.apiserver.flow_control.statuses import FlowStatuses

        await FlowStatuses(self.handle, store=self._store, clock=self._clock).run()

    async def _run_nodes(self) -> None:
        await self.nodes.run()

    async def _run_controllers(self) -> None:
        from ekslab.kube.controllers import all_controllers
        from ekslab.kube.runtime.controller import ControllerRunner

        controllers = all_controllers(
            _Identities(self).client,
            resources=self._served,
            clock=self._clock,
            rng=self._rng.fork("controllers"),
            ids=self._ids,
            authority_pem=self.authority_pem,
            sign=self._sign,
        )
        await ControllerRunner(controllers).run()

    def _served(self) -> Sequence[ResourceInfo]:
        """The types served now, custom ones too."""
        assert self._server is not None, "the cluster was not started"
        return [served.info for served in self._server.registry]

    def _sign(self, request_pem: bytes, usages: Sequence[str], life_s: int) -> bytes:
        """Issue what somebody may have: see `controllers.certificates`."""
        now = self._wall_clock.now()
        return self.authority.sign_request(request_pem, usages=usages, life_s=life_s, now=now)

    async def _run_scheduler(self) -> None:
        from ekslab.kube.scheduler.loop import Scheduler

        scheduler = Scheduler(
            self.client(_SCHEDULER, field_manager="kube-scheduler"),
            clock=self._clock,
            rng=self._rng.fork("scheduler"),
        )
        await scheduler.run()

    async def _renew_certificates(self) -> None:
        while True:
            await self._clock.sleep(_RENEWAL_CHECK_S)
            self._keys.renew(self._wall_clock.now())


class _Identities:
    """Clients of the controllers: each is its own service account, as upstream runs them
    (`--use-service-account-credentials`).
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def client(self, controller: str) -> Client:
        """The client of one controller, by its name; "" is the controller manager itself."""
        if not controller:
            user = UserInfo("system:kube-controller-manager", (AUTHENTICATED_GROUP,))
        else:
            user = replace(
                service_account_user("kube-system", controller),
                groups=(
                    SERVICE_ACCOUNTS_GROUP,
                    f"{SERVICE_ACCOUNTS_GROUP}:kube-system",
                    AUTHENTICATED_GROUP,
                ),
            )
        return self._cluster.client(user, field_manager="kube-controller-manager")
