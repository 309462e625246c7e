"""From client-side to server-side apply, and objects that have no managers."""

from typing import Any

import orjson
import pytest

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ownership import managers
from ekslab.kube.api.ownership.client_side import ANNOTATION
from tests.patches.shapes import DEPLOYMENT

Object = dict[str, Any]


def deployment(*, image: str = "1", annotations: Object | None = None, **spec: Any) -> Object:
    meta: Object = {"name": "web"}
    if annotations is not None:
        meta["annotations"] = annotations
    template = {"spec": {"containers": [{"name": "main", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta,
        "spec": {**spec, "template": template},
    }


def applied_by_the_client(config: Object) -> tuple[Object, list[Any]]:
    """An object that `kubectl apply` has made, and its managers."""
    text = orjson.dumps(config).decode() + "\n"
    live = {**config, "metadata": {**config["metadata"], "annotations": {ANNOTATION: text}}}
    managed = managers.after_update(
        DEPLOYMENT,
        None,
        live,
        [],
        manager="kubectl-client-side-apply",
        api_version="apps/v1",
        time="t0",
    )
    return live, managed


def apply(live: Object, managed: list[Any], config: Object, *, by: str) -> tuple[Object, list[Any]]:
    return managers.apply(
        DEPLOYMENT, live, managed, config, manager=by, force=False, api_version="apps/v1", time="t1"
    )


def test_kubectl_takes_over_what_is_still_as_it_once_said() -> None:
    live, managed = applied_by_the_client(deployment(replicas=1))
    config = deployment(image="2", replicas=3)
    obj, managed = apply(live, managed, config, by="kubectl")
    assert obj["spec"] == config["spec"]
    assert obj["metadata"]["annotations"][ANNOTATION] == (
        '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":'
        '{"replicas":3,"template":{"spec":{"containers":[{"image":"2","name":"main"}]}}}}\n'
    )
    by_operation = {entry["operation"]: entry["fieldsV1"] for entry in managed}
    assert "f:replicas" in by_operation["Apply"]["f:spec"]
    assert "f:replicas" not in by_operation["Update"].get("f:spec", {})


def test_other_managers_have_conflicts_with_it_and_leave_the_annotation() -> None:
    live, managed = applied_by_the_client(deployment(replicas=1))
    with pytest.raises(ApiError) as caught:
        apply(live, managed, deployment(replicas=3), by="me")
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1:'
        " .spec.replicas"
    )
    obj, _ = apply(live, managed, deployment(replicas=1), by="me")
    assert obj["metadata"]["annotations"] == live["metadata"]["annotations"]


def test_what_somebody_has_changed_since_is_a_conflict() -> None:
    live, managed = applied_by_the_client(deployment(replicas=1))
    scaled = {**live, "spec": {**live["spec"], "replicas": 2}}
    managed = managers.after_update(
        DEPLOYMENT, live, scaled, managed, manager="me", api_version="apps/v1", time="t1"
    )
    with pytest.raises(ApiError) as caught:
        apply(scaled, managed, deployment(image="2", replicas=3), by="kubectl")
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "me" using apps/v1: .spec.replicas'
    )


@pytest.mark.parametrize(
    "annotation",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("[]", id="no object"),
        pytest.param('{"apiVersion":"apps/v1beta1","kind":"Deployment"}', id="another version"),
        pytest.param(
            '{"apiVersion":"apps/v1","kind":"Deployment","spec":{"template":{"spec":{"containers":'
            '[{"name":"a"},{"name":"a"}]}}}}',
            id="one name twice",
        ),
    ],
)
def test_an_annotation_that_makes_no_sense_changes_nothing(annotation: str) -> None:
    live, managed = applied_by_the_client(deployment(replicas=1))
    live["metadata"]["annotations"][ANNOTATION] = annotation
    with pytest.raises(ApiError, match="Apply failed with 1 conflict"):
        apply(live, managed, deployment(replicas=3), by="kubectl")


def test_an_annotation_too_long_for_the_object_goes() -> None:
    live, managed = applied_by_the_client(deployment())
    long = deployment(annotations={"a": "x" * 200_000})
    obj, _ = apply(live, managed, long, by="kubectl")
    assert list(obj["metadata"]["annotations"]) == ["a"]


def test_the_annotation_is_written_as_go_writes_it_and_does_not_hold_itself() -> None:
    live, managed = applied_by_the_client(deployment())
    sent_back = live["metadata"]["annotations"][ANNOTATION]
    config = deployment(annotations={ANNOTATION: sent_back, "b": "<&>"})
    obj, _ = apply(live, managed, config, by="kubectl")
    text = obj["metadata"]["annotations"][ANNOTATION]
    assert '"annotations":{"b":"\\u003c\\u0026\\u003e"}' in text
    assert orjson.loads(text)["metadata"]["annotations"] == {"b": "<&>"}


def test_what_has_no_managers_was_there_before_the_first_apply() -> None:
    live = deployment(replicas=1)
    with pytest.raises(ApiError) as caught:
        apply(live, [], deployment(replicas=3), by="me")
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "before-first-apply" using apps/v1:'
        " .spec.replicas"
    )
    _, managed = apply(live, [], deployment(replicas=1), by="me")
    assert [(each["manager"], each["operation"]) for each in managed] == [
        ("me", "Apply"),
        ("before-first-apply", "Update"),
    ]
