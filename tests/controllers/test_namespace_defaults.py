"""What every namespace has: the default service account and the cluster's CA; filled roles."""

import asyncio
from collections.abc import Iterator

import pytest

from ekslab.kit.clock import LoopClock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kit.tasks import TaskGroup
from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api import errors
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import (
    CLUSTER_ROLES,
    CONFIG_MAPS,
    NAMESPACES,
    SERVICE_ACCOUNTS,
)
from ekslab.kube.client.informers import InformerFactory
from ekslab.kube.controllers.cluster_role_aggregation.controller import (
    ClusterRoleAggregationController,
)
from ekslab.kube.controllers.cluster_role_aggregation.plan import missing_rules
from ekslab.kube.controllers.root_ca.controller import RootCaController
from ekslab.kube.controllers.root_ca.plan import NAME, wanted
from ekslab.kube.controllers.service_account.controller import ServiceAccountController
from ekslab.kube.controllers.service_account.plan import missing_account
from ekslab.kube.runtime.controller import ControllerRunner, Toolbox
from ekslab.kube.runtime.events import EventRecorder
from tests.fakes.lister import namespace
from tests.fakes.memory_api import MemoryApi

PEM = "-----BEGIN CERTIFICATE-----"


@pytest.mark.parametrize(
    ("there", "exists", "made"),
    [
        pytest.param(namespace("shop"), False, True, id="missing"),
        pytest.param(namespace("shop"), True, False, id="there"),
        pytest.param(namespace("shop", "Terminating"), False, False, id="going away"),
        pytest.param(None, False, False, id="gone"),
    ],
)
def test_a_namespace_gets_its_account(*, there: Object | None, exists: bool, made: bool):
    account = missing_account(there, exists=exists)
    assert (account is not None) is made


def published(data: dict[str, str], **annotations: str) -> Object:
    metadata = {"name": NAME, "namespace": "shop", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.mark.parametrize(
    ("there", "config_map", "data"),
    [
        pytest.param(namespace("shop"), None, {"ca.crt": PEM}, id="missing"),
        pytest.param(
            namespace("shop"), published({"ca.crt": "old"}), {"ca.crt": PEM}, id="another CA"
        ),
        pytest.param(
            namespace("shop"),
            published({"ca.crt": PEM, "x": "y"}),
            {"ca.crt": PEM},
            id="foreign data",
        ),
        pytest.param(
            namespace("shop"), published({"ca.crt": PEM}), {"ca.crt": PEM}, id="no description"
        ),
        pytest.param(
            namespace("shop"),
            published({"ca.crt": PEM}, **{"kubernetes.io/description": "mine"}),
            None,
            id="as it should be",
        ),
        pytest.param(namespace("shop", "Terminating"), None, None, id="going away"),
    ],
)
def test_a_namespace_gets_the_ca(
    there: Object, config_map: Object | None, data: dict[str, str] | None
):
    result = wanted(there, config_map, PEM)
    assert (result and result["data"]) == data


def test_foreign_annotations_stay():
    result = wanted(namespace("shop"), published({}, team="a"), PEM)
    assert result is not None
    assert sorted(result["metadata"]["annotations"]) == ["kubernetes.io/description", "team"]


def role(name: str, *resources: str, gathers: str = "", label: str = "") -> Object:
    found: Object = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {label: "true"} if label else {}},
        "rules": [{"verbs": ["get"], "resources": [resource]} for resource in resources],
    }
    if gathers:
        selector = {"matchLabels": {gathers: "true"}}
        found["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    return found


def test_an_aggregated_role_that_is_complete_is_left_alone():
    part = role("part", "pods", label="to-all")
    assert missing_rules(role("all", "pods", gathers="to-all"), [part]) is None
    assert missing_rules(role("plain"), [part]) is None
    assert missing_rules(role("all", gathers="to-all"), [part]) == part["rules"]


class World:
    """The three controllers over a memory API, and what happens to it."""

    def __init__(self) -> None:
        clock = LoopClock(asyncio.get_running_loop(), epoch_s=1_700_000_000)
        self.api = MemoryApi(clock)
        self.client = self.api.client()
        informers = InformerFactory(self.api.client("shared"), clock=clock)

        def tools(user: str) -> Toolbox:
            client = self.api.client(user)
            events = EventRecorder(client, component=user, clock=clock)
            rng = Rng(1)
            return Toolbox(
                client=client,
                informers=informers,
                events=events,
                clock=clock,
                rng=rng,
                ids=Ids(rng),
            )

        self.runner = ControllerRunner(
            [
                ServiceAccountController(tools("sa")),
                RootCaController(tools("ca"), root_ca_pem=PEM.encode()),
                ClusterRoleAggregationController(tools("roles")),
            ]
        )


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


def test_a_namespace_has_both_and_gets_them_back(loop: VirtualLoop):
    async def story() -> None:
        world = World()
        async with TaskGroup("test") as group:
            group.start(world.runner.run(), name="controllers")
            await world.client.create(NAMESPACES, namespace("shop"))
            await asyncio.sleep(5)
            for resource, name in ((SERVICE_ACCOUNTS, "default"), (CONFIG_MAPS, NAME)):
                first = await world.client.get(resource, name, "shop")
                await world.client.delete(resource, name, "shop")
                await asyncio.sleep(5)
                second = await world.client.get(resource, name, "shop")
                assert first["metadata"]["uid"] != second["metadata"]["uid"]
            group.cancel()

    loop.run_until_complete(story())


def test_one_that_is_refused_tries_again_and_the_others_go_on(loop: VirtualLoop):
    async def story() -> None:
        world = World()
        refused = True

        def refuse(user: str, verb: str, resource: object) -> None:
            if refused and user == "sa" and verb == "create":
                raise errors.forbidden("", "serviceaccounts", "default", f"not {resource}")

        world.api.refuse = refuse
        async with TaskGroup("test") as group:
            group.start(world.runner.run(), name="controllers")
            await world.client.create(NAMESPACES, namespace("shop"))
            await asyncio.sleep(5)
            await world.client.get(CONFIG_MAPS, NAME, "shop")
            with pytest.raises(errors.ApiError, match="not found"):
                await world.client.get(SERVICE_ACCOUNTS, "default", "shop")
            refused = False
            await asyncio.sleep(60)
            await world.client.get(SERVICE_ACCOUNTS, "default", "shop")
            group.cancel()

    loop.run_until_complete(story())


def test_a_new_role_reaches_what_gathers_it(loop: VirtualLoop):
    async def story() -> None:
        world = World()
        async with TaskGroup("test") as group:
            group.start(world.runner.run(), name="controllers")
            await world.client.create(CLUSTER_ROLES, role("all", gathers="to-all"))
            await world.client.create(CLUSTER_ROLES, role("part", "pods", label="to-all"))
            await asyncio.sleep(5)
            found = await world.client.get(CLUSTER_ROLES, "all")
            assert [rule["resources"] for rule in found["rules"]] == [["pods"]]
            group.cancel()

    loop.run_until_complete(story())
