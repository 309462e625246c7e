"""A served cluster with a simulated node, and the real kubectl."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.api import Api
from tests.conformance.cluster import ServedCluster
from tests.conformance.kubectl import Kubectl
from tests.streams.pods import PODS, Pods


@pytest.fixture(scope="session")
def served() -> Iterator[ServedCluster]:
    served = ServedCluster()
    served._run(served.cluster.add_nodes(1))
    yield served
    served.stop()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("streams")


@pytest.fixture(scope="session")
def api(served: ServedCluster, home: Path) -> Iterator[Api]:
    api = served.api(certificate=served.credentials(home, "admin", "system:masters"))
    yield api
    api.close()


@pytest.fixture(scope="session")
def kubectl(served: ServedCluster, home: Path) -> Kubectl:
    certificate, key = served.credentials(home, "kubectl", "system:masters")
    return Kubectl(served.kubeconfig(home, certificate, key))


@pytest.fixture(scope="session")
def pods(api: Api) -> Pods:
    """What runs in the cluster: one pod of every kind the tests speak of."""
    pods = Pods(api)
    pods.create(PODS)
    return pods
