import pytest

from ekslab.kube.api.requests import Object
from ekslab.kube.apiserver.admission.limit_ranger import LimitRanger
from tests.admission.requests import asked, run
from tests.fakes.lister import FakeLister, meta, pod


def limits(kind: str, **bounds: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": meta("limits", "default"),
        "spec": {"limits": [{"type": kind, **bounds}]},
    }


def container(name: str = "main", *, cpu: str = "", cpu_limit: str = "", **more: str) -> Object:
    resources: Object = {}
    if cpu:
        resources["requests"] = {"cpu": cpu}
    if cpu_limit:
        resources["limits"] = {"cpu": cpu_limit}
    return {"name": name, "resources": resources, **more}


async def test_containers_get_the_defaults_they_lack():
    ranges = limits("Container", default={"cpu": "2"}, defaultRequest={"cpu": "1", "memory": "1Gi"})
    sent = pod(containers=[container("a", cpu="500m"), container("b")])
    result = await run(LimitRanger(FakeLister(ranges)), asked("create", "pods", sent))
    resources = [one["resources"] for one in result["spec"]["containers"]]
    assert resources == [
        {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2"}},
        {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2"}},
    ]
    assert result["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: memory request for container a; cpu limit for container a;"
        " cpu, memory request for container b; cpu limit for container b"
    )


async def test_ranges_of_other_namespaces_do_not_count():
    ranges = limits("Container", max={"cpu": "1"})
    sent = pod(namespace="other", containers=[container(cpu_limit="2")])
    request = asked("create", "pods", sent, namespace="other")
    assert await run(LimitRanger(FakeLister(ranges)), request) == sent


@pytest.mark.parametrize(
    ("ranges", "containers", "why"),
    [
        pytest.param(
            limits("Container", min={"cpu": "100m"}),
            [container()],
            "minimum cpu usage per Container is 100m.  No request is specified",
            id="no request",
        ),
        pytest.param(
            limits("Container", min={"cpu": "100m"}),
            [container(cpu="50m")],
            "minimum cpu usage per Container is 100m, but request is 50m",
            id="request too small",
        ),
        pytest.param(
            limits("Container", max={"cpu": "1"}),
            [container(cpu="1")],
            "maximum cpu usage per Container is 1.  No limit is specified",
            id="no limit",
        ),
        pytest.param(
            limits("Container", max={"cpu": "1"}),
            [container(cpu_limit="1500m")],
            "maximum cpu usage per Container is 1, but limit is 1500m",
            id="limit too large",
        ),
        pytest.param(
            limits("Container", maxLimitRequestRatio={"cpu": "2"}),
            [container(cpu="1", cpu_limit="3")],
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
            id="ratio too large",
        ),
        pytest.param(
            limits("Pod", max={"cpu": "1"}),
            [container("a", cpu_limit="600m"), container("b", cpu_limit="600m")],
            "maximum cpu usage per Pod is 1, but limit is 1200m",
            id="together too much",
        ),
        pytest.param(
            limits("Container", max={"cpu": "1"}, min={"cpu": "1"}),
            [container()],
            "[minimum cpu usage per Container is 1.  No request is specified, maximum cpu usage per"
            " Container is 1.  No limit is specified]",
            id="two problems",
        ),
    ],
)
async def test_pods_outside_of_a_range_are_refused(
    ranges: Object, containers: list[Object], why: str
):
    sent = pod(containers=containers)
    result = await run(LimitRanger(FakeLister(ranges)), asked("create", "pods", sent))
    assert result == (403, f'pods "web" is forbidden: {why}')


async def test_an_init_container_counts_only_where_it_is_the_largest():
    ranges = limits("Pod", max={"cpu": "1"})
    init = [container("init", cpu_limit="1"), container("s", cpu_limit="1", restartPolicy="Always")]
    sent = pod(containers=[container(cpu_limit="500m")], initContainers=init[:1])
    plugin = LimitRanger(FakeLister(ranges))
    assert await run(plugin, asked("create", "pods", sent)) == sent
    sent["spec"]["initContainers"] = init
    result = await run(plugin, asked("create", "pods", sent))
    assert result[1].endswith("maximum cpu usage per Pod is 1, but limit is 1500m")


@pytest.mark.parametrize(
    ("size", "why"),
    [
        ("1Gi", "minimum storage usage per PersistentVolumeClaim is 2Gi, but request is 1Gi"),
        ("9Gi", "maximum storage usage per PersistentVolumeClaim is 8Gi, but request is 9Gi"),
    ],
)
async def test_claims_outside_of_a_range_are_refused(size: str, why: str):
    ranges = limits("PersistentVolumeClaim", min={"storage": "2Gi"}, max={"storage": "8Gi"})
    spec = {"resources": {"requests": {"storage": size}}}
    sent = {"metadata": meta("data", "default"), "spec": spec}
    request = asked("create", "persistentvolumeclaims", sent)
    result = await run(LimitRanger(FakeLister(ranges)), request)
    assert result == (403, f'persistentvolumeclaims "data" is forbidden: {why}')
