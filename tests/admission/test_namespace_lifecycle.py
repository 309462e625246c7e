import pytest

from ekslab.kube.api.errors import ApiError, namespace_is_terminating
from ekslab.kube.api.ports import AdmissionRequest
from ekslab.kube.apiserver.admission.namespace_lifecycle import NamespaceLifecycle
from tests.admission.requests import asked, run
from tests.fakes.lister import FakeLister, meta, namespace, pod

MAP = {"metadata": meta("m", "going")}
PLUGIN = NamespaceLifecycle(FakeLister(namespace("default"), namespace("going", "Terminating")))


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        pytest.param(
            asked("create", "pods", pod(), namespace="gone"),
            (404, 'namespaces "gone" not found'),
            id="create without namespace",
        ),
        pytest.param(
            asked("update", "pods", pod(), old=pod(), namespace="gone"),
            (404, 'namespaces "gone" not found'),
            id="update without namespace",
        ),
        pytest.param(
            asked("create", "configmaps", MAP, namespace="going"),
            (
                403,
                (
                    'configmaps "m" is forbidden: unable to create new content in namespace going'
                    " because it is being terminated"
                ),
            ),
            id="create in a terminating one",
        ),
        pytest.param(
            asked("create", "pods", {"metadata": {"generateName": "web-"}}, namespace="going"),
            (
                403,
                (
                    'pods "web-" is forbidden: unable to create new content in namespace going'
                    " because it is being terminated"
                ),
            ),
            id="create with a name to be generated",
        ),
        *(
            pytest.param(
                asked("delete", "namespaces", name=name),
                (403, f'namespaces "{name}" is forbidden: this namespace may not be deleted'),
                id=f"delete {name}",
            )
            for name in ("default", "kube-system", "kube-public")
        ),
    ],
)
async def test_it_refuses(request_: AdmissionRequest, refusal: tuple[int, str]):
    assert await run(PLUGIN, request_) == refusal


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(asked("create", "pods", pod()), id="create in an active one"),
        pytest.param(
            asked("update", "configmaps", MAP, old=MAP, namespace="going"),
            id="update in a terminating one",
        ),
        pytest.param(asked("delete", "configmaps", name="m", namespace="gone"), id="delete"),
        pytest.param(asked("delete", "namespaces", name="kube-node-lease"), id="other namespace"),
        pytest.param(asked("create", "nodes", {"metadata": meta("n")}), id="cluster-scoped"),
        pytest.param(
            asked("create", "localsubjectaccessreviews", {"metadata": {}}, namespace="gone"),
            id="access review",
        ),
    ],
)
async def test_it_lets_pass(request_: AdmissionRequest):
    assert await run(PLUGIN, request_) == request_.obj


async def test_a_terminating_namespace_is_named_as_the_cause():
    with pytest.raises(ApiError) as refused:
        await PLUGIN.admit(asked("create", "configmaps", MAP, namespace="going"))
    assert namespace_is_terminating(refused.value)
    assert refused.value.details == {
        "name": "m",
        "kind": "configmaps",
        "causes": [
            {
                "reason": "NamespaceTerminating",
                "message": "namespace going is being terminated",
                "field": "metadata.namespace",
            }
        ],
    }
