"""Which behaviours the tests of a run have shown; and the cluster they ask."""

import re
from collections import defaultdict
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conformance.api import Api
from tests.conformance.catalogue import behaviours
from tests.conformance.cluster import ServedCluster
from tests.conformance.kubectl import Kubectl

_HERE = Path(__file__).parent
_SHOWN = pytest.StashKey["Shown"]()
_LAST = "test_the_page_says_what_this_run_has_shown"


@dataclass
class Shown:
    """The tests of this run by the behaviours they name, and which of them passed.

    `everything` is False where tests of this folder were left out of the run.
    """

    everything: bool = True
    named: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    passed: set[str] = field(default_factory=set)

    @property
    def passing(self) -> frozenset[str]:
        """The behaviours of which every test passed."""
        return frozenset(ident for ident, tests in self.named.items() if self.passed >= tests)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note which tests name which behaviours; the test of the page comes last."""
    shown = config.stash.setdefault(_SHOWN, Shown())
    ours = [item for item in items if item.path.parent == _HERE]
    for item in ours:
        for mark in item.iter_markers("conformance"):
            for ident in mark.args:
                if ident not in behaviours():
                    raise pytest.UsageError(f"{item.nodeid}: no such behaviour: {ident}")
                shown.named[ident].add(item.nodeid)
    is_whole = {item.path for item in ours} == set(_HERE.glob("test_*.py"))
    is_shared = hasattr(config, "workerinput")  # by pytest-xdist, with other processes
    if not is_whole or is_shared or any("::" in word for word in config.args):
        shown.everything = False
    items.sort(key=lambda item: item in ours and item.name == _LAST)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """A run that leaves tests out says nothing about the page."""
    ours = [item for item in items if item.path.parent == _HERE]
    if ours:
        ours[0].config.stash.setdefault(_SHOWN, Shown()).everything = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note which tests pass."""
    report = yield
    if report.when == "call" and report.passed and item.path.parent == _HERE:
        item.config.stash[_SHOWN].passed.add(item.nodeid)
    return report


@pytest.fixture
def shown(pytestconfig: pytest.Config) -> Shown:
    """What this run has shown so far."""
    return pytestconfig.stash[_SHOWN]


@pytest.fixture(scope="session")
def served() -> Iterator[ServedCluster]:
    """One cluster for all tests that ask over sockets; no node belongs to it."""
    served = ServedCluster()
    yield served
    served.stop()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the clients of the served cluster keep their files."""
    return tmp_path_factory.mktemp("conformance")


@pytest.fixture(scope="session")
def api(served: ServedCluster, home: Path) -> Iterator[Api]:
    """The served cluster, asked by its administrator."""
    files = served.credentials(home, "admin", "system:masters")
    api = served.api(certificate=files)
    yield api
    api.close()


@pytest.fixture
def namespace(api: Api, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own, named after it, where pods can be made."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
    name = words[:60].strip("-")
    api.at("v1", "namespaces").create({"metadata": {"name": name}})
    with api.at("v1", "serviceaccounts", name).watch() as watch:
        watch.until("ADDED", lambda account: account["metadata"]["name"] == "default")
    return name


@pytest.fixture(scope="session")
def kubectl(served: ServedCluster, home: Path) -> Kubectl:
    """The real kubectl, as the served cluster's administrator."""
    certificate, key = served.credentials(home, "kubectl", "system:masters")
    return Kubectl(served.kubeconfig(home, certificate, key))
