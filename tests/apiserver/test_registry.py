"""Resources of a tenant's own, and versions that share what is stored."""

from ekslab.kube.api.resources import Resource, ResourceInfo
from ekslab.kube.api.schema.catalog import load
from ekslab.kube.api.schema.model import Kind, Schema
from tests.apiserver.world import World

WIDGETS = Resource("example.com", "v1", "widgets")
ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def widget_schema() -> Schema:
    meta = load("1.36").meta_type("ObjectMeta")
    text = Schema(Kind.STRING)
    spec = Schema(Kind.OBJECT, fields={"color": text})
    fields = {"apiVersion": text, "kind": text, "metadata": meta, "spec": spec}
    return Schema(Kind.OBJECT, name="com.example.v1.Widget", fields=fields)


async def test_a_custom_resource_is_served_to_its_tenant_alone(world: World):
    info = ResourceInfo(
        WIDGETS, "Widget", "WidgetList", "widget", True, ALL, "com.example.v1.Widget"
    )
    world.server.registry.add(info, widget_schema())
    obj = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": "default"},
        "spec": {"color": "red"},
    }
    client = world.client()
    created = await client.create(WIDGETS, obj)
    assert created["spec"] == {"color": "red"}
    patched = await client.patch(WIDGETS, "w", "default", patch={"spec": {"color": "blue"}})
    assert patched["spec"] == {"color": "blue"}
    groups = await world.ask("get", None, path="/apis")
    assert b"example.com" in groups.document.content
    world.server.registry.remove(WIDGETS)
    assert (await world.refusal("get", WIDGETS, name="w")).code == 404
    groups = await world.ask("get", None, path="/apis")
    assert b"example.com" not in groups.document.content


async def test_both_versions_of_an_autoscaler_are_one_object(world: World):
    v1 = Resource("autoscaling", "v1", "horizontalpodautoscalers")
    v2 = Resource("autoscaling", "v2", "horizontalpodautoscalers")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "maxReplicas": 5, "targetCPUUtilizationPercentage": 60}
    client = world.client()
    await client.create(v1, {"metadata": {"name": "h", "namespace": "default"}, "spec": spec})
    new = await client.get(v2, "h", "default")
    assert new["apiVersion"] == "autoscaling/v2"
    assert new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 60
    old = await client.get(v1, "h", "default")
    assert old["spec"]["targetCPUUtilizationPercentage"] == 60
    assert "metrics" not in old["spec"]
