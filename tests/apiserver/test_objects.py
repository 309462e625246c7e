"""Creating, reading, changing and deleting objects through the pipeline."""

import pytest

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import PatchType
from ekslab.kube.api.well_known import CONFIG_MAPS, DEPLOYMENTS, LEASES, NAMESPACES, PODS, SERVICES
from tests.apiserver.world import World, config_map, labelled, pod


async def test_a_created_object_has_an_identity_and_is_read_back_as_it_was_answered(world: World):
    client = world.client()
    created = await client.create(CONFIG_MAPS, config_map(color="red"))
    meta = created["metadata"]
    assert meta["creationTimestamp"] == "2023-11-14T22:13:20Z"
    assert len(meta["uid"]) == 36
    assert meta["resourceVersion"] == str(world.store.revision)
    assert meta["managedFields"][0]["manager"] == "test"
    assert await client.get(CONFIG_MAPS, "settings", "default") == created


async def test_a_name_can_be_taken_only_once(world: World):
    await world.ask("create", CONFIG_MAPS, body=config_map())
    error = await world.refusal("create", CONFIG_MAPS, body=config_map())
    assert (error.code, error.reason) == (409, "AlreadyExists")
    assert error.message == 'configmaps "settings" already exists'


async def test_a_generated_name_gets_a_suffix_and_is_cut_to_fit(world: World):
    obj = config_map()
    obj["metadata"] = {"generateName": "x" * 70, "namespace": "default"}
    created = await world.client().create(CONFIG_MAPS, obj)
    name = created["metadata"]["name"]
    assert len(name) == 63
    assert name.startswith("x" * 58)


async def test_a_write_that_changes_nothing_keeps_the_revision(world: World):
    client = world.client()
    created = await client.create(CONFIG_MAPS, config_map(color="red"))
    again = await client.update(CONFIG_MAPS, {**created})
    assert again["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
    patched = await client.patch(
        CONFIG_MAPS, "settings", "default", patch={"data": {"color": "red"}}
    )
    assert patched["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


async def test_an_old_resource_version_is_a_conflict(world: World):
    client = world.client()
    created = await client.create(CONFIG_MAPS, config_map(color="red"))
    await client.patch(CONFIG_MAPS, "settings", "default", patch={"data": {"color": "blue"}})
    error = await world.refusal("update", CONFIG_MAPS, name="settings", body=created)
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == (
        'Operation cannot be fulfilled on configmaps "settings": the object has been modified;'
        " please apply your changes to the latest version and try again"
    )


async def test_an_update_without_resource_version_wins_unconditionally(world: World):
    await world.ask("create", CONFIG_MAPS, body=config_map(color="red"))
    answer = await world.ask("update", CONFIG_MAPS, name="settings", body=config_map(color="blue"))
    assert answer.item is not None
    assert answer.item.object["data"] == {"color": "blue"}


async def test_an_update_of_what_is_not_there_is_refused(world: World):
    error = await world.refusal("update", CONFIG_MAPS, name="settings", body=config_map())
    assert (error.code, error.message) == (404, 'configmaps "settings" not found')


async def test_a_lease_may_be_created_by_an_update(world: World):
    lease = {"metadata": {"name": "a", "namespace": "default"}, "spec": {"holderIdentity": "me"}}
    answer = await world.ask("update", LEASES, name="a", body=lease)
    assert answer.code == 201


async def test_only_a_change_of_the_spec_counts_a_generation(world: World):
    client = world.client()
    await client.create(DEPLOYMENTS, deployment())
    labels = await client.patch(
        DEPLOYMENTS, "web", "default", patch={"metadata": {"labels": {"a": "b"}}}
    )
    assert labels["metadata"]["generation"] == 1
    scaled = await client.patch(DEPLOYMENTS, "web", "default", patch={"spec": {"replicas": 3}})
    assert scaled["metadata"]["generation"] == 2


async def test_the_status_is_written_through_its_own_door_only(world: World):
    client = world.client()
    created = await client.create(DEPLOYMENTS, deployment())
    both = {**created, "status": {"replicas": 7}}
    assert (await client.update(DEPLOYMENTS, both)).get("status", {}).get("replicas") is None
    stolen = {**created, "status": {"replicas": 7}, "spec": {**created["spec"], "replicas": 9}}
    through = await client.update(DEPLOYMENTS, stolen, subresource="status")
    assert through["status"]["replicas"] == 7
    assert through["spec"]["replicas"] == 1


@pytest.mark.parametrize(
    ("patch_type", "patch"),
    [
        pytest.param(PatchType.MERGE, {"data": {"b": "2", "a": None}}, id="merge"),
        pytest.param(PatchType.STRATEGIC, {"data": {"b": "2", "a": None}}, id="strategic"),
        pytest.param(
            PatchType.JSON,
            [{"op": "add", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/a"}],
            id="json",
        ),
    ],
)
async def test_a_patch_changes_what_it_names(world: World, patch_type, patch):
    client = world.client()
    await client.create(CONFIG_MAPS, config_map(a="1", c="3"))
    patched = await client.patch(
        CONFIG_MAPS, "settings", "default", patch=patch, patch_type=patch_type
    )
    assert patched["data"] == {"b": "2", "c": "3"}


async def test_an_apply_creates_then_changes_and_owns(world: World):
    client = world.client(manager="applier")
    applied = config_map(color="red", size="xl")
    first = await client.patch(
        CONFIG_MAPS, "settings", "default", patch=applied, patch_type=PatchType.APPLY
    )
    assert first["data"] == {"color": "red", "size": "xl"}
    assert first["metadata"]["managedFields"][0]["operation"] == "Apply"
    second = await client.patch(
        CONFIG_MAPS,
        "settings",
        "default",
        patch=config_map(color="red"),
        patch_type=PatchType.APPLY,
    )
    assert second["data"] == {"color": "red"}


async def test_an_apply_that_takes_from_another_conflicts_unless_forced(world: World):
    await world.client(manager="one").create(CONFIG_MAPS, config_map(color="red"))
    options = {"fieldManager": "two"}
    more = {
        "name": "settings",
        "content_type": PatchType.APPLY.value,
        "body": b"{apiVersion: v1, kind: ConfigMap, data: {color: blue}}",
    }
    error = await world.refusal("patch", CONFIG_MAPS, options=options, **more)
    assert error.code == 409
    assert (
        error.message == 'Apply failed with 1 conflict: conflict with "one" using v1: .data.color'
    )
    forced = await world.ask("patch", CONFIG_MAPS, options={**options, "force": "true"}, **more)
    assert forced.item is not None
    assert forced.item.object["data"] == {"color": "blue"}


async def test_a_dry_run_answers_and_writes_nothing(world: World):
    before = world.store.revision
    answer = await world.ask("create", CONFIG_MAPS, body=config_map(), options={"dryRun": "All"})
    assert answer.code == 201
    assert answer.obj is not None
    assert answer.obj["metadata"]["uid"]
    assert world.store.revision == before


async def test_a_delete_answers_with_a_status_that_names_what_is_gone(world: World):
    created = await world.client().create(CONFIG_MAPS, config_map())
    answer = await world.ask("delete", CONFIG_MAPS, name="settings")
    assert answer.obj is not None
    assert answer.obj["status"] == "Success"
    assert answer.obj["details"] == {
        "name": "settings",
        "kind": "configmaps",
        "uid": created["metadata"]["uid"],
    }
    error = await world.refusal("get", CONFIG_MAPS, name="settings")
    assert error.code == 404


async def test_a_delete_checks_its_preconditions(world: World):
    client = world.client()
    created = await client.create(CONFIG_MAPS, config_map())
    with pytest.raises(ApiError) as wrong:
        await client.delete(CONFIG_MAPS, "settings", "default", uid="other")
    assert wrong.value.code == 409
    with pytest.raises(ApiError):
        await client.delete(CONFIG_MAPS, "settings", "default", revision=1)
    await client.delete(CONFIG_MAPS, "settings", "default", uid=created["metadata"]["uid"])


async def test_finalizers_hold_an_object_until_the_last_is_gone(world: World):
    client = world.client()
    obj = config_map()
    obj["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(CONFIG_MAPS, obj)
    await client.delete(CONFIG_MAPS, "settings", "default")
    held = await client.get(CONFIG_MAPS, "settings", "default")
    assert held["metadata"]["deletionTimestamp"] == "2023-11-14T22:13:20Z"
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    await client.patch(CONFIG_MAPS, "settings", "default", patch={"metadata": {"finalizers": None}})
    assert (await world.refusal("get", CONFIG_MAPS, name="settings")).code == 404


@pytest.mark.parametrize(
    ("propagation", "finalizers"),
    [
        pytest.param("Foreground", ["foregroundDeletion"], id="foreground"),
        pytest.param("Orphan", ["orphan"], id="orphan"),
    ],
)
async def test_propagation_is_left_to_the_collector_by_a_finalizer(
    world: World, propagation, finalizers
):
    client = world.client()
    await client.create(DEPLOYMENTS, deployment())
    await client.delete(DEPLOYMENTS, "web", "default", propagation=propagation)
    held = await client.get(DEPLOYMENTS, "web", "default")
    assert held["metadata"]["finalizers"] == finalizers
    assert held["metadata"]["generation"] == 2


async def test_a_bound_pod_goes_gracefully_and_an_unbound_one_at_once(world: World):
    client = world.client()
    await client.create(PODS, pod("free"))
    await client.create(PODS, pod("bound", nodeName="n1"))
    await client.delete(PODS, "free", "default")
    await client.delete(PODS, "bound", "default")
    assert (await world.refusal("get", PODS, name="free")).code == 404
    going = await client.get(PODS, "bound", "default")
    assert going["metadata"]["deletionGracePeriodSeconds"] == 30
    assert going["metadata"]["deletionTimestamp"] == "2023-11-14T22:13:50Z"
    await client.delete(PODS, "bound", "default", grace_period_s=5)
    sooner = await client.get(PODS, "bound", "default")
    assert sooner["metadata"]["deletionTimestamp"] == "2023-11-14T22:13:25Z"
    await client.delete(PODS, "bound", "default", grace_period_s=60)
    assert await client.get(PODS, "bound", "default") == sooner
    await client.delete(PODS, "bound", "default", grace_period_s=0)
    assert (await world.refusal("get", PODS, name="bound")).code == 404


async def test_a_namespace_stays_terminating_until_it_is_finalized(world: World):
    client = world.client()
    await client.create(NAMESPACES, {"metadata": {"name": "team"}})
    await client.delete(NAMESPACES, "team")
    going = await client.get(NAMESPACES, "team")
    assert going["status"]["phase"] == "Terminating"
    assert going["spec"]["finalizers"] == ["kubernetes"]
    done = {**going, "spec": {"finalizers": []}}
    await client.update(NAMESPACES, done, subresource="finalize")
    assert (await world.refusal("get", NAMESPACES, name="team", namespace="")).code == 404


async def test_a_collection_is_deleted_by_selector(world: World):
    client = world.client()
    for index in range(4):
        obj = labelled(config_map(f"c{index}"), odd=str(index % 2))
        await client.create(CONFIG_MAPS, obj)
    await client.delete_collection(CONFIG_MAPS, "default", label_selector="odd=1")
    left = await client.list(CONFIG_MAPS, "default")
    assert [item.name for item in left.items] == ["c0", "c2"]


async def test_services_get_addresses_and_ports_that_no_other_has(world: World):
    client = world.client()
    seen = set()
    for index in range(20):
        created = await client.create(SERVICES, service(f"s{index}", type="NodePort"))
        spec = created["spec"]
        seen.add(spec["clusterIP"])
        assert spec["clusterIP"].startswith("10.100.")
        assert spec["clusterIPs"] == [spec["clusterIP"]]
        seen.add(str(spec["ports"][0]["nodePort"]))
        assert 30_000 <= spec["ports"][0]["nodePort"] <= 32_767
    assert len(seen) == 40


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"clusterIP": "10.99.0.1"},
            'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.99.0.1"]: failed to'
            " allocate IP 10.99.0.1: the provided IP (10.99.0.1) is not in the valid range. The"
            " range of valid IPs is 10.100.0.0/16",
            id="outside",
        ),
        pytest.param(
            {"clusterIP": "10.100.0.50"},
            'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.100.0.50"]: failed to'
            " allocate IP 10.100.0.50: provided IP is already allocated",
            id="taken",
        ),
        pytest.param(
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
            'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is'
            " not in the valid range. The range of valid ports is 30000-32767",
            id="port outside",
        ),
        pytest.param(
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30_080}]},
            'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port'
            " is already allocated",
            id="port taken",
        ),
    ],
)
async def test_addresses_and_ports_asked_for_are_checked(world: World, spec, message):
    taken = {
        "type": "NodePort",
        "clusterIP": "10.100.0.50",
        "ports": [{"port": 80, "nodePort": 30_080}],
    }
    await world.client().create(SERVICES, service("a", **taken))
    error = await world.refusal("create", SERVICES, body=service("b", **spec))
    assert (error.code, error.message) == (422, message)


def service(name: str, **spec):
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"port": 80}], **spec},
    }


def deployment():
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "replicas": 1,
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "nginx"}]},
            },
        },
    }
