"""Controllers, a folder each: controller.py wires watches to keys, plan.py decides.

`all_controllers` is the controller manager: it makes every controller of a cluster, each with a
client bound to its own service account, looking through informers they share.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ekslab.kit.clock import Clock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kube.api.ports import Client
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.well_known import PODS
from ekslab.kube.client.informers import InformerFactory
from ekslab.kube.controllers.certificates.controller import CertificateController, Sign
from ekslab.kube.controllers.cluster_role_aggregation.controller import (
    ClusterRoleAggregationController,
)
from ekslab.kube.controllers.cron_job.controller import CronJobController
from ekslab.kube.controllers.daemon_set.controller import DaemonSetController
from ekslab.kube.controllers.deployment.controller import DeploymentController
from ekslab.kube.controllers.disruption.controller import DisruptionController
from ekslab.kube.controllers.endpoint_slice.controller import EndpointSliceController
from ekslab.kube.controllers.endpoints.controller import EndpointsController
from ekslab.kube.controllers.garbage_collector.controller import GarbageCollector
from ekslab.kube.controllers.job.controller import JobController
from ekslab.kube.controllers.namespace.controller import NamespaceController
from ekslab.kube.controllers.node_lifecycle.controller import NodeLifecycleController
from ekslab.kube.controllers.pod_gc.controller import PodGarbageCollector
from ekslab.kube.controllers.replica_set.controller import (
    ReplicaSetController,
    ReplicationControllerController,
)
from ekslab.kube.controllers.resource_quota.controller import ResourceQuotaController
from ekslab.kube.controllers.root_ca.controller import RootCaController
from ekslab.kube.controllers.service_account.controller import ServiceAccountController
from ekslab.kube.controllers.stateful_set.controller import StatefulSetController
from ekslab.kube.controllers.taint_eviction.controller import TaintEvictionController
from ekslab.kube.controllers.ttl.controller import TtlController
from ekslab.kube.controllers.ttl_after_finished.controller import TtlAfterFinishedController
from ekslab.kube.runtime.controller import Controller, Toolbox
from ekslab.kube.runtime.events import EventRecorder
from ekslab.kube.runtime.pods import PodIndex


def all_controllers(
    client_for: Callable[[str], Client],
    *,
    resources: Callable[[], Sequence[ResourceInfo]],
    clock: Clock,
    rng: Rng,
    ids: Ids,
    authority_pem: str,
    sign: Sign,
) -> list[Controller[Any]]:
    """Every controller of a cluster, ready for a `ControllerRunner`.

    `client_for("deployment-controller")` gives a client bound to
    `system:serviceaccount:kube-system:deployment-controller`; `client_for("")` one of the
    controller manager itself (`system:kube-controller-manager`), through which all informers look.
    `sign` issues certificates of the cluster's authority.
    `resources` gives the types served now; `authority_pem` is what clients verify the API server
    with.
    """
    informers = InformerFactory(client_for(""), clock=clock)
    pods = PodIndex(informers.informer(PODS))

    def tools(account: str, *, component: str = "") -> Toolbox:
        client = client_for(account)
        return Toolbox(
            client=client,
            informers=informers,
            events=EventRecorder(client, component=component or account, clock=clock),
            clock=clock,
            rng=rng.fork(account),
            ids=ids,
        )

    return [
        ReplicaSetController(tools("replicaset-controller"), pods),
        ReplicationControllerController(tools("replication-controller"), pods),
        DeploymentController(tools("deployment-controller"), pods),
        DaemonSetController(tools("daemon-set-controller", component="daemonset-controller"), pods),
        StatefulSetController(tools("statefulset-controller"), pods),
        JobController(tools("job-controller"), pods),
        CronJobController(tools("cronjob-controller")),
        TtlAfterFinishedController(tools("ttl-after-finished-controller")),
        ResourceQuotaController(tools("resourcequota-controller"), resources),
        DisruptionController(
            tools("disruption-controller", component="controllermanager"), pods, resources
        ),
        EndpointSliceController(
            tools("endpointslice-controller", component="endpoint-slice-controller"), pods
        ),
        EndpointsController(tools("endpoint-controller"), pods),
        NamespaceController(tools("namespace-controller"), resources),
        GarbageCollector(
            tools("generic-garbage-collector", component="garbage-collector-controller"), resources
        ),
        NodeLifecycleController(tools("node-controller"), pods),
        TaintEvictionController(
            tools("node-controller", component="taint-eviction-controller"), pods
        ),
        TtlController(tools("ttl-controller")),
        PodGarbageCollector(tools("pod-garbage-collector"), pods),
        ServiceAccountController(tools("service-account-controller")),
        RootCaController(tools("root-ca-cert-publisher"), root_ca_pem=authority_pem.encode()),
        ClusterRoleAggregationController(tools("clusterrole-aggregation-controller")),
        CertificateController(tools("certificate-controller"), sign=sign),
    ]
