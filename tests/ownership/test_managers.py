"""managedFields after creates and updates, as a cluster shows them."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ownership import managers
from ekslab.kube.api.ownership.comparing import compare
from ekslab.kube.api.ownership.whole import zero
from ekslab.kube.api.schema import catalog
from ekslab.kube.api.schema.checking import Checker, FieldValidation
from ekslab.kube.api.schema.model import Schema
from tests.patches.shapes import DEPLOYMENT, SERVICE
from tests.schema.bodies import objects


def deployment(*, image: str = "nginx", replicas: int = 1, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "d", "uid": "1", "labels": {"app": "web"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
            "template": {
                "metadata": {"labels": {"app": "web", **labels}},
                "spec": {
                    "containers": [{"name": "c", "image": image, "ports": [{"containerPort": 80}]}]
                },
            },
        },
    }


def update(
    old: dict[str, Any] | None,
    new: dict[str, Any],
    managed: list[Any],
    *,
    schema: Schema = DEPLOYMENT,
    by: str = "kubectl",
    subresource: str = "",
    time: str = "t1",
) -> list[Any]:
    before = orjson.dumps([old, new, managed])
    result = managers.after_update(
        schema,
        old,
        new,
        managed,
        manager=by,
        api_version="apps/v1",
        subresource=subresource,
        time=time,
    )
    assert orjson.dumps([old, new, managed]) == before
    return result


def test_a_creation_is_owned_as_kubectl_create_shows_it() -> None:
    container = {
        ".": {},
        "f:image": {},
        "f:name": {},
        "f:ports": {
            ".": {},
            'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
        },
    }
    assert update(None, deployment(), []) == [
        {
            "manager": "kubectl",
            "operation": "Update",
            "apiVersion": "apps/v1",
            "time": "t1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                "f:spec": {
                    "f:replicas": {},
                    "f:selector": {},
                    "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
                    "f:template": {
                        "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                        "f:spec": {"f:containers": {'k:{"name":"c"}': container}},
                    },
                },
            },
        }
    ]


def test_a_changed_field_moves_to_who_changed_it() -> None:
    created = update(None, deployment(), [])
    scaled = update(deployment(), deployment(replicas=3), created, by="scaler", time="t2")
    assert [(entry["manager"], entry["time"]) for entry in scaled] == [
        ("kubectl", "t1"),
        ("scaler", "t2"),
    ]
    assert scaled[1]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in scaled[0]["fieldsV1"]["f:spec"]
    back = update(deployment(replicas=3), deployment(), scaled, time="t3")
    assert [(entry["manager"], entry["time"]) for entry in back] == [("kubectl", "t3")]
    assert back[0]["fieldsV1"] == created[0]["fieldsV1"]


def test_what_changes_nothing_changes_no_manager() -> None:
    created = update(None, deployment(), [])
    assert update(deployment(), deployment(), created, by="x", time="t2") is created
    other_meta = deployment()
    other_meta["metadata"] |= {"resourceVersion": "9", "generation": 2, "managedFields": created}
    assert update(deployment(), other_meta, created, by="x", time="t2") is created


def test_a_removed_field_leaves_every_manager() -> None:
    created = update(None, deployment(), [])
    labelled = deployment(tier="front")
    added = update(deployment(), labelled, created, by="labeller", time="t2")
    assert added[1]["fieldsV1"] == {
        "f:spec": {"f:template": {"f:metadata": {"f:labels": {"f:tier": {}}}}}
    }
    assert update(labelled, deployment(), added, by="other", time="t3") == created


def test_subresources_are_managers_of_their_own() -> None:
    created = update(None, deployment(), [])
    ready = deployment() | {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    entries = update(deployment(), ready, created, subresource="status", time="t2")
    assert entries[1]["subresource"] == "status"
    assert entries[1]["fieldsV1"] == {
        "f:status": {
            "f:conditions": {
                ".": {}, 'k:{"type":"Ready"}': {".": {}, "f:status": {}, "f:type": {}}
            }
        }
    }  # fmt: skip


def test_the_eleventh_updater_makes_the_oldest_ancient() -> None:
    obj, managed = deployment(), update(None, deployment(), [])
    for number in range(12):
        new = orjson.loads(orjson.dumps(obj))
        new["metadata"]["labels"][f"l{number}"] = "x"
        managed = update(obj, new, managed, by=f"m{number}", time=f"t2-{number:02}")
        obj = new
    names = sorted(entry["manager"] for entry in managed)
    assert len(names) == managers.UPDATERS_MOST
    assert "ancient-changes" in names
    assert "m11" in names
    assert "kubectl" not in names


def test_service_ports_are_keyed_with_the_default_protocol() -> None:
    old = {"spec": {"ports": [{"port": 80}]}}
    new = {"spec": {"ports": [{"port": 80, "protocol": "TCP", "name": "http"}, {"port": 81}]}}
    entries = update(old, new, [], schema=SERVICE)
    assert entries[0]["fieldsV1"] == {
        "f:spec": {
            "f:ports": {
                'k:{"port":80,"protocol":"TCP"}': {"f:name": {}, "f:protocol": {}},
                'k:{"port":81,"protocol":"TCP"}': {".": {}, "f:port": {}},
            }
        }
    }


def test_a_made_up_list_is_refused() -> None:
    bad = [{"manager": "x", "operation": "Update", "fieldsV1": {"spec": {}}}]
    with pytest.raises(ApiError, match="error decoding managed fields"):
        managers.canonical(bad)


def test_a_made_up_list_is_kept_in_canonical_form() -> None:
    made_up = [{"manager": "x", "fieldsV1": {"f:b": {".": {}}, "f:a": {}}}]
    assert str(managers.canonical(made_up)) == str(
        [{"manager": "x", "fieldsV1": {"f:a": {}, "f:b": {}}}]
    )


def test_what_a_write_does_not_touch_is_shared_with_the_list_before() -> None:
    before = update(None, deployment(), [])
    other = [{**before[0], "manager": "other"}]
    after = update(deployment(), deployment(paused=True), other)
    assert any(entry is other[0] for entry in after)


def test_a_pod_is_owned_as_its_go_types_say() -> None:
    """With the schema of the catalog: what is always on the wire is nobody's addition."""
    pod = catalog.load().schema_of_kind("", "v1", "Pod")
    assert pod is not None
    container = {
        "name": "c",
        "image": "nginx",
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"containerPort": 53, "protocol": "UDP"}],
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "v", "emptyDir": {}}],
        "securityContext": {},
    }
    meta = {"name": "web", "generateName": "web-", "annotations": {"a/b": "c"}}
    managed = update(None, {"metadata": meta, "spec": spec}, [], schema=pod)
    udp = 'k:{"containerPort":53,"protocol":"UDP"}'
    assert managed[0]["fieldsV1"] == {
        "f:metadata": {"f:annotations": {".": {}, "f:a/b": {}}, "f:generateName": {}},
        "f:spec": {
            "f:containers": {
                'k:{"name":"c"}': {
                    ".": {},
                    "f:env": {
                        ".": {}, 'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}
                    },
                    "f:image": {},
                    "f:name": {},
                    "f:ports": {".": {}, udp: {".": {}, "f:containerPort": {}, "f:protocol": {}}},
                    "f:resources": {},
                }
            },
            "f:securityContext": {},
            "f:volumes": {".": {}, 'k:{"name":"v"}': {".": {}, "f:emptyDir": {}, "f:name": {}}},
        },
    }  # fmt: skip


def test_sets_of_fields_are_stored_in_canonical_order() -> None:
    pod = catalog.load("1.36").type("io.k8s.api.core.v1.Pod")
    spec = {
        "nodeSelector": {"zone": "a", "arch": "arm64"},
        "containers": [
            {"name": "web", "ports": [{"containerPort": 81}, {"containerPort": 80}]},
            {"name": "log", "resources": {"requests": {"memory": "1Mi", "cpu": "1"}}},
        ],
    }
    new = {
        "metadata": {"name": "web", "labels": {"b": "1", "a": "2"}, "finalizers": ["b/b", "a/a"]},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"},
    }
    created = update(None, new, [], schema=pod)
    changed = update({"metadata": {"name": "web"}}, new, [], schema=pod)
    for entry in (*created, *changed):
        fields = entry["fieldsV1"]
        assert orjson.dumps(fields) == orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def test_layouts_of_long_keys_are_not_remembered_and_are_as_right() -> None:
    labels = {f"key-{number}": "v" for number in range(200)}
    entry = update(None, {"metadata": {"labels": labels}}, [])[0]
    owned = entry["fieldsV1"]["f:metadata"]["f:labels"]
    assert list(owned) == [".", *sorted(f"f:{key}" for key in labels)]


KINDS = [("v1", "Pod"), ("apps/v1", "Deployment"), ("v1", "Service"), ("v1", "Event"),
         ("batch/v1", "CronJob"), ("coordination.k8s.io/v1", "Lease")]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_creation_takes_what_setting_every_field_of_a_zero_object_takes(data: Any) -> None:
    known = catalog.load("1.36")
    api_version, kind = data.draw(st.sampled_from(KINDS))
    schema = known.schema_of(known.by_kind[api_version, kind])
    body = orjson.dumps(data.draw(objects(schema, 5)))
    try:
        checked = Checker(known).decode(
            body, schema, kind=kind, api_version=api_version, mode=FieldValidation.IGNORE
        )
    except ApiError:
        return
    slow, fast = compare(zero(schema), checked.obj, schema), compare(None, checked.obj, schema)
    assert orjson.dumps(fast.taken.tree) == orjson.dumps(slow.taken.tree)
    assert not fast.removed
