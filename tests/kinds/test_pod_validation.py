"""What new pods are refused for, in upstream's words."""

from typing import Any

import pytest

from tests.kinds.building import changed, pod, wrong

LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must"
    " start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for"
    " validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or"
    " '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used"
    " for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


PODS = [
    pytest.param("spec.containers", [], ["spec.containers: Required value"], id="no containers"),
    pytest.param(
        "spec.containers.0.image", "", ["spec.containers[0].image: Required value"], id="no image"
    ),
    pytest.param(
        "spec.containers.0.name",
        "Web",
        [f'spec.containers[0].name: Invalid value: "Web": {LABEL_TEXT}'],
        id="upper case name",
    ),
    pytest.param(
        "metadata.name",
        "Web_1",
        [f'metadata.name: Invalid value: "Web_1": {SUBDOMAIN_TEXT}'],
        id="bad object name",
    ),
    pytest.param(
        "spec.containers",
        [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}],
        ['spec.containers[1].name: Duplicate value: "a"'],
        id="same name twice",
    ),
    pytest.param(
        "spec.restartPolicy",
        "Sometimes",
        [
            (
                'spec.restartPolicy: Unsupported value: "Sometimes":'
                ' supported values: "Always", "OnFailure", "Never"'
            )
        ],
        id="restart policy",
    ),
    pytest.param(
        "spec.containers.0.imagePullPolicy",
        "Often",
        [
            (
                'spec.containers[0].imagePullPolicy: Unsupported value: "Often":'
                ' supported values: "Always", "IfNotPresent", "Never"'
            )
        ],
        id="pull policy",
    ),
    pytest.param(
        "spec.containers.0.ports",
        [{"containerPort": 70000}],
        [
            (
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000:"
                " must be between 1 and 65535, inclusive"
            )
        ],
        id="port out of range",
    ),
    pytest.param(
        "spec.containers.0.volumeMounts",
        [{"name": "data", "mountPath": "/data"}],
        ['spec.containers[0].volumeMounts[0].name: Not found: "data"'],
        id="mount without volume",
    ),
    pytest.param(
        "spec.containers.0.resources",
        {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}},
        [
            (
                'spec.containers[0].resources.requests: Invalid value: "2":'
                " must be less than or equal to cpu limit of 1"
            )
        ],
        id="request above limit",
    ),
    pytest.param(
        "spec.containers.0.resources",
        {"requests": {"gpu": "1"}},
        [
            (
                'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu":'
                " must be a standard resource type or fully qualified"
            ),
            (
                'spec.containers[0].resources.requests[gpu]: Invalid value: "gpu":'
                " must be a standard resource for containers"
            ),
        ],
        id="unknown resource",
    ),
    pytest.param(
        "spec.containers.0.resources",
        {"requests": {"nvidia.com/gpu": "1"}},
        [
            (
                "spec.containers[0].resources.limits: Required value:"
                " Limit must be set for non overcommitable resources"
            )
        ],
        id="extended resource without limit",
    ),
    pytest.param(
        "spec.containers.0.env",
        [{"name": "A=B", "value": "x"}],
        [
            (
                'spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable'
                " name must consist only of printable ASCII characters other than '='"
            )
        ],
        id="environment name",
    ),
    pytest.param(
        "spec.containers.0.livenessProbe",
        {"exec": {"command": ["a"]}, "httpGet": {"port": 80}},
        [
            (
                "spec.containers[0].livenessProbe.httpGet: Forbidden: may not specify more than 1"
                " handler type"
            )
        ],
        id="two handlers",
    ),
    pytest.param(
        "spec.containers.0.livenessProbe",
        {"tcpSocket": {"port": 80}, "successThreshold": 2},
        ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        id="liveness needs one success",
    ),
    pytest.param(
        "spec.tolerations",
        [{"operator": "Equal", "value": "x"}],
        [
            (
                'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when'
                ' `key` is empty, which means "match all values and all keys"'
            )
        ],
        id="toleration without key",
    ),
    pytest.param(
        "spec.topologySpreadConstraints",
        [{"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
        id="skew of zero",
    ),
    pytest.param(
        "spec.affinity",
        {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}
            }
        },
        [
            (
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
                ".nodeSelectorTerms: Required value: must have at least one node selector term"
            )
        ],
        id="no node selector term",
    ),
    pytest.param(
        "spec.volumes",
        [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}],
        ["spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type"],
        id="two sources",
    ),
    pytest.param(
        "spec.activeDeadlineSeconds",
        0,
        [
            (
                "spec.activeDeadlineSeconds: Invalid value: 0:"
                " must be between 1 and 2147483647, inclusive"
            )
        ],
        id="deadline of zero",
    ),
    pytest.param(
        "metadata.labels",
        {"app": "-"},
        [
            (
                'metadata.labels: Invalid value: "-": a valid label must be an empty'
                " string or consist"
                " of alphanumeric characters, '-', '_' or '.', and must start and end with an"
                " alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345',"
                " regex used for"
                " validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            )
        ],
        id="label value",
    ),
    pytest.param(
        "metadata.annotations",
        {"a": "x" * 262144},
        ["metadata.annotations: Too long: may not be more than 262144 bytes"],
        id="annotations too long",
    ),
    pytest.param(
        "metadata.finalizers",
        ["mine"],
        [
            (
                'metadata.finalizers[0]: Invalid value: "mine": name is neither a'
                " standard finalizer"
                " name nor is it fully qualified"
            )
        ],
        id="bare finalizer",
    ),
]


@pytest.mark.parametrize(("path", "value", "expected"), PODS)
def test_a_pod_is_refused_in_upstreams_words(path: str, value: Any, expected: list[str]) -> None:
    assert wrong(changed(pod(), path, value)) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param("kube-api-access-aaaaa", "kube-api-access-bbbbb", [], id="two names"),
        pytest.param(
            "kube-api-access-aaaaa",
            "kube-api-access-aaaaa",
            ['spec.volumes[1].name: Duplicate value: "kube-api-access-aaaaa"'],
            id="one name twice",
        ),
        pytest.param("kube-api-access-ccccc", "kube-api-access-ddddd", [], id="others"),
        pytest.param(
            "",
            "kube-api-access-ddddd",
            ["spec.volumes[0].name: Required value"],
            id="no name",
        ),
    ],
)
def test_a_valid_pod_excuses_no_other_however_alike(
    first: str, second: str, expected: list[str]
) -> None:
    assert wrong(changed(pod(), "spec.volumes", volumes("kube-api-access-aaaaa"))) == []
    assert wrong(changed(pod(), "spec.volumes", volumes(first, second))) == expected


def volumes(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "emptyDir": {}} for name in names]
