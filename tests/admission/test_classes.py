import pytest

from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.admission.classes import (
    DefaultIngressClass,
    DefaultStorageClass,
    PersistentVolumeClaimResize,
)
from tests.admission.requests import asked, run
from tests.fakes.lister import FakeLister, meta

STORAGE_DEFAULT = "storageclass.kubernetes.io/is-default-class"
INGRESS_DEFAULT = "ingressclass.kubernetes.io/is-default-class"


def named_class(
    kind: str,
    name: str,
    *,
    default: str = "",
    created: str = "2026-01-01T00:00:00Z",
    **more: object,
) -> Object:
    annotations = {default: "true"} if default else {}
    metadata = meta(name, annotations=annotations, creationTimestamp=created)
    return {"apiVersion": "x/v1", "kind": kind, "metadata": metadata, **more}


def claim(size: str = "1Gi", *, phase: str = "Bound", **spec: object) -> Object:
    return {
        "metadata": meta("data", "default"),
        "spec": {"resources": {"requests": {"storage": size}}, **spec},
        "status": {"phase": phase},
    }


OLD = named_class("StorageClass", "gp2", default=STORAGE_DEFAULT)
NEW = named_class("StorageClass", "gp3", default=STORAGE_DEFAULT, created="2026-02-01T00:00:00Z")
GROWING = named_class("StorageClass", "growing", allowVolumeExpansion=True)


@pytest.mark.parametrize(
    ("classes", "sent", "expected"),
    [
        pytest.param([OLD], claim(), "gp2", id="default"),
        pytest.param([OLD, NEW], claim(), "gp3", id="the newest default"),
        pytest.param([GROWING], claim(), None, id="no default"),
        pytest.param([OLD], claim(storageClassName=""), "", id="none is wanted"),
        pytest.param([OLD], claim(storageClassName="own"), "own", id="own choice"),
    ],
)
async def test_a_claim_gets_the_default_class(
    classes: list[Object], sent: Object, expected: str | None
):
    plugin = DefaultStorageClass(FakeLister(*classes))
    result = await run(plugin, asked("create", "persistentvolumeclaims", sent))
    assert result["spec"].get("storageClassName") == expected


NOT_BOUND = "Only bound persistent volume claims can be expanded"
NOT_GROWING = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc"
    " must support resize"
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("1Gi", "2Gi", id="growth"),
        pytest.param("1Gi", "1024Mi", id="the same in other words"),
        pytest.param("2Gi", "1Gi", id="shrinking is validation's business"),
    ],
)
async def test_a_claim_may_grow_where_its_class_allows(old: str, new: str):
    plugin = PersistentVolumeClaimResize(FakeLister(GROWING))
    before = claim(old, storageClassName="growing")
    after = claim(new, storageClassName="growing")
    result = await run(plugin, asked("update", "persistentvolumeclaims", after, old=before))
    assert result == after


@pytest.mark.parametrize(
    ("before", "why"),
    [
        pytest.param(claim(phase="Pending", storageClassName="growing"), NOT_BOUND, id="not bound"),
        pytest.param(claim(storageClassName="gp2"), NOT_GROWING, id="class does not allow"),
        pytest.param(claim(), NOT_GROWING, id="no class"),
    ],
)
async def test_a_claim_may_not_grow_otherwise(before: Object, why: str):
    plugin = PersistentVolumeClaimResize(FakeLister(GROWING, OLD))
    after = claim("2Gi", **{k: v for k, v in before["spec"].items() if k != "resources"})
    result = await run(plugin, asked("update", "persistentvolumeclaims", after, old=before))
    assert result == (403, f'persistentvolumeclaims "data" is forbidden: {why}')


@pytest.mark.parametrize(
    ("annotations", "spec", "expected"),
    [
        pytest.param({}, {}, "alb", id="default"),
        pytest.param({}, {"ingressClassName": "own"}, "own", id="own choice"),
        pytest.param({"kubernetes.io/ingress.class": "old"}, {}, None, id="own choice, old style"),
    ],
)
async def test_an_ingress_gets_the_default_class(
    annotations: dict[str, str], spec: Object, expected: str | None
):
    plugin = DefaultIngressClass(
        FakeLister(named_class("IngressClass", "alb", default=INGRESS_DEFAULT))
    )
    sent = {"metadata": meta("i", "default", annotations=annotations), "spec": spec}
    result = await run(plugin, asked("create", "ingresses", sent))
    assert result["spec"].get("ingressClassName") == expected
