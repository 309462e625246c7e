"""StatefulSets: what comes next, and whole lives of sets on simulated nodes."""

from typing import Any

import pytest

from ekslab.kube.api.objects import encode
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import (
    CONTROLLER_REVISIONS,
    EVENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    STATEFUL_SETS,
)
from ekslab.kube.controllers.stateful_set.plan import Plan, Scene, ordinal_of, plan, status
from ekslab.kube.runtime.pods import PodFacts, pod_facts
from tests.controllers.test_in_cluster import Lab, lived
from tests.controllers.world import pod, template

HASH = "controller-revision-hash"


def stateful(**spec: Any) -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "default", "generation": 1},
        "spec": {
            "replicas": 3,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": template(app="db"),
            **spec,
        },
    }


def member(number: int, state: str = "ready", revision: str = "new") -> PodFacts:
    name = f"db-{number}"
    labels = {
        HASH: revision,
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": str(number),
    }
    obj = pod(name)
    obj["metadata"]["labels"] = labels
    phase = {"failed": "Failed", "pending": "Pending"}.get(state, "Running")
    ready = "True" if state in {"ready", "ending"} else "False"
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": "1970-01-01T00:00:00Z"}]
    obj["status"] = {"phase": phase, "conditions": conditions}
    if state == "ending":
        obj["metadata"]["deletionTimestamp"] = "1970-01-01T00:00:00Z"
    return pod_facts(encode(obj, resource="pods", revision=1))


def described(decided: Plan) -> str:
    """What is planned, as words: `make 1`, `condemn db-3`."""
    words = [f"make {number}" for number in decided.create]
    for word in ("restart", "rename", "condemn", "replace"):
        words += [f"{word} {one.name}" for one in getattr(decided, word)]
    return ", ".join(words)


PARALLEL: Object = {"podManagementPolicy": "Parallel"}


@pytest.mark.parametrize(
    ("spec", "pods", "expected"),
    [
        pytest.param({}, [], "make 0", id="the first first"),
        pytest.param({}, [member(0, "unready")], "", id="the second waits for the first"),
        pytest.param({}, [member(0)], "make 1", id="then the second"),
        pytest.param(PARALLEL, [], "make 0, make 1, make 2", id="parallel: all at once"),
        pytest.param({}, [member(1), member(2)], "make 0", id="a gap is filled"),
        pytest.param({}, [member(0), member(1, "failed"), member(2)], "restart db-1", id="failed"),
        pytest.param({}, [member(0), member(1, "ending"), member(2)], "", id="wait for the end"),
        pytest.param(
            {"replicas": 1}, [member(0), member(1), member(2)], "condemn db-2",
            id="down from the end, one at a time",
        ),
        pytest.param(
            {"replicas": 1, **PARALLEL}, [member(0), member(1), member(2)],
            "condemn db-2, condemn db-1", id="parallel: down at once",
        ),
        pytest.param(
            {"replicas": 1}, [member(0), member(1, "unready"), member(2)], "condemn db-2",
            id="an unready one below does not hold up the one above",
        ),
        pytest.param(
            {"replicas": 1}, [member(0), member(1, "unready"), member(2, "unready")], "",
            id="of two unready ones the lower goes first, and not before the upper",
        ),
        pytest.param(
            {"replicas": 2, "ordinals": {"start": 5}}, [member(5)], "make 6",
            id="from another start",
        ),
        pytest.param(
            {}, [member(0, revision="old"), member(1, revision="old"), member(2, revision="old")],
            "replace db-2", id="the highest is replaced first",
        ),
        pytest.param(
            {}, [member(0, revision="old"), member(1, revision="old"), member(2)],
            "replace db-1", id="then the next",
        ),
        pytest.param(
            {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}},
            [member(0, revision="old"), member(1, revision="old"), member(2)], "",
            id="not below the partition",
        ),
        pytest.param(
            {"updateStrategy": {"type": "OnDelete"}},
            [member(0, revision="old"), member(1, revision="old"), member(2, revision="old")], "",
            id="on delete: never",
        ),
    ],
)  # fmt: skip
def test_the_next_step_follows_from_what_is_there(
    spec: Object, pods: list[PodFacts], expected: str
) -> None:
    scene = Scene(stateful(**spec), pods, "old", "new", 1000.0)
    assert described(plan(scene)) == expected


def test_only_names_with_a_number_are_members() -> None:
    names = ("db-0", "db-12", "db-x", "db-1-2", "db", "other-1")
    assert [ordinal_of("db", name) for name in names] == [0, 12, None, None, None, None]


def test_the_current_revision_moves_when_all_pods_have() -> None:
    pods = [member(0), member(1), member(2, revision="old")]
    partly = status(Scene(stateful(), pods, "old", "new", 1000.0), 0)
    assert (partly["currentRevision"], partly["currentReplicas"], partly["updatedReplicas"]) == (
        "old", 1, 2,
    )  # fmt: skip
    whole = status(Scene(stateful(), [member(n) for n in range(3)], "old", "new", 1000.0), 0)
    assert (whole["currentRevision"], whole["currentReplicas"]) == ("new", 3)


def the_status(lab: Lab) -> Object:
    (found,) = lab.all(STATEFUL_SETS)
    current: Object = found.get("status") or {}
    is_current = current.get("observedGeneration") == found["metadata"]["generation"]
    return current if is_current else {}


def names(lab: Lab) -> list[str]:
    return sorted(one["metadata"]["name"] for one in lab.all(PODS))


def is_updated(lab: Lab, count: int = 3) -> bool:
    now = the_status(lab)
    return (
        now.get("availableReplicas") == now.get("updatedReplicas") == now.get("replicas") == count
    )


def new_image(image: str) -> Object:
    boxes = [{"name": "main", "image": image}]
    return {"spec": {"template": {"spec": {"containers": boxes}}}}


def test_a_set_comes_up_in_order_rolls_from_the_end_and_shrinks() -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(STATEFUL_SETS, stateful())
        await lab.until(lambda: is_updated(lab))
        assert names(lab) == ["db-0", "db-1", "db-2"]
        born = [one["metadata"]["creationTimestamp"] for one in lab.all(PODS)]
        assert born == sorted(born)
        assert len(set(born)) == 3
        first = next(one for one in lab.all(PODS) if one["metadata"]["name"] == "db-0")
        revision = the_status(lab)["currentRevision"]
        assert first["metadata"]["labels"] == {
            "app": "db",
            "apps.kubernetes.io/pod-index": "0",
            "statefulset.kubernetes.io/pod-name": "db-0",
            HASH: revision,
        }
        assert (first["spec"]["hostname"], first["spec"]["subdomain"]) == ("db-0", "db")
        await lab.client.patch(STATEFUL_SETS, "db", "default", patch=new_image("nginx:2"))
        await lab.until(lambda: is_updated(lab))
        assert the_status(lab)["currentRevision"] == the_status(lab)["updateRevision"] != revision
        assert len(lab.all(CONTROLLER_REVISIONS)) == 2
        await lab.client.patch(STATEFUL_SETS, "db", "default", patch={"spec": {"replicas": 1}})
        await lab.until(lambda: is_updated(lab, 1) and names(lab) == ["db-0"])
        await lab.clock.sleep(2)
        said = {
            event["message"]
            for event in lab.all(EVENTS)
            if event["involvedObject"]["kind"] == "StatefulSet"
        }
        assert "create Pod db-0 in StatefulSet db successful" in said
        assert "delete Pod db-2 in StatefulSet db successful" in said
        await lab.client.delete(STATEFUL_SETS, "db", "default", propagation="Background")
        await lab.until(lambda: not names(lab) and not lab.all(CONTROLLER_REVISIONS))

    lived(story)


def test_a_partition_is_a_canary() -> None:
    async def story(lab: Lab) -> None:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
        await lab.client.create(STATEFUL_SETS, stateful(updateStrategy=strategy, **PARALLEL))
        await lab.until(lambda: is_updated(lab))
        await lab.client.patch(STATEFUL_SETS, "db", "default", patch=new_image("nginx:2"))
        await lab.until(
            lambda: (
                the_status(lab).get("updatedReplicas") == 1
                and the_status(lab)["availableReplicas"] == 3
            )
        )
        await lab.client.delete(PODS, "db-0", "default")
        await lab.until(lambda: the_status(lab).get("availableReplicas") == 2)
        await lab.until(lambda: the_status(lab).get("availableReplicas") == 3)
        images = [one["spec"]["containers"][0]["image"] for one in lab.all(PODS)]
        assert images == ["nginx", "nginx", "nginx:2"], "a pod below comes back as it was"

    lived(story)


def test_each_pod_has_claims_that_stay_behind() -> None:
    async def story(lab: Lab) -> None:
        data: Object = {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        await lab.client.create(STATEFUL_SETS, stateful(volumeClaimTemplates=[data], **PARALLEL))
        await lab.until(lambda: len(lab.all(PERSISTENT_VOLUME_CLAIMS)) == 3)
        claims = {one["metadata"]["name"]: one for one in lab.all(PERSISTENT_VOLUME_CLAIMS)}
        assert claims.keys() == {"data-db-0", "data-db-1", "data-db-2"}
        assert claims["data-db-0"]["metadata"]["labels"] == {"app": "db"}
        await lab.until(lambda: len(names(lab)) == 3)
        volumes = lab.all(PODS)[0]["spec"]["volumes"]
        assert volumes[0] == {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}
        await lab.client.delete(PERSISTENT_VOLUME_CLAIMS, "data-db-1", "default")
        await lab.client.delete(PODS, "db-1", "default")
        await lab.until(
            lambda: len(names(lab)) == 3 and len(lab.all(PERSISTENT_VOLUME_CLAIMS)) == 3
        )
        await lab.client.delete(STATEFUL_SETS, "db", "default", propagation="Background")
        await lab.until(lambda: not names(lab))
        assert len(lab.all(PERSISTENT_VOLUME_CLAIMS)) == 3

    lived(story)
