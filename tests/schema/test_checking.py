"""Bodies: what is refused, what is warned of, and what Go's round trip leaves."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.schema.catalog import SUPPORTED_VERSIONS, load
from ekslab.kube.api.schema.checking import Checked, Checker, FieldValidation, said
from ekslab.kube.api.schema.walking import Walk, parse_pairs
from tests.schema.bodies import objects

CATALOG = load()
CHECKER = Checker(CATALOG)


def decode(raw: bytes, kind: str = "Pod", api_version: str = "v1", mode: str = "Strict") -> Checked:
    info = CATALOG.by_kind[api_version, kind]
    return CHECKER.decode(
        raw,
        CATALOG.schema_of(info),
        kind=kind,
        api_version=api_version,
        mode=FieldValidation(mode),
    )


def refusal(raw: bytes, kind: str = "Pod", api_version: str = "v1", mode: str = "Strict") -> str:
    with pytest.raises(ApiError) as error:
        decode(raw, kind, api_version, mode)
    assert (error.value.code, error.value.reason) == (400, "BadRequest")
    return error.value.message


@pytest.mark.parametrize(
    ("kind", "api_version", "raw", "why"),
    [
        pytest.param(
            "Pod", "v1", b'{"spec":{"containers":"x"}}',
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers"
            " of type []v1.Container",
            id="list",
        ),
        pytest.param(
            "Deployment", "apps/v1", b'{"spec":{"replicas":"3"}}',
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas"
            " of type int32",
            id="integer",
        ),
        pytest.param(
            "Pod", "v1", b'{"spec":{"containers":[{"env":[{"name":"A","value":1}]}]}}',
            "json: cannot unmarshal number into Go struct field"
            " EnvVar.spec.containers.env.value of type string",
            id="string",
        ),
        pytest.param(
            "Pod", "v1", b'{"spec":{"hostNetwork":"yes"}}',
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork"
            " of type bool",
            id="boolean",
        ),
        pytest.param(
            "Pod", "v1", b'{"spec":{"priority":3000000000}}',
            "json: cannot unmarshal number 3000000000 into Go struct field"
            " PodSpec.spec.priority of type int32",
            id="int32-overflow",
        ),
        pytest.param(
            "Pod", "v1", b'{"spec":{"activeDeadlineSeconds":1.5}}',
            "json: cannot unmarshal number 1.5 into Go struct field"
            " PodSpec.spec.activeDeadlineSeconds of type int64",
            id="fraction",
        ),
        pytest.param(
            "Pod", "v1", b'{"metadata":{"labels":{"a":true}}}',
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels"
            " of type string",
            id="map",
        ),
        pytest.param(
            "Pod", "v1", b'{"spec":[]}',
            "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec",
            id="object",
        ),
        pytest.param(
            "Pod", "v1", b'{"spec":{"containers":[{"resources":{"limits":{"cpu":"lots"}}}]}}',
            "quantities must match the regular expression"
            " '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            id="quantity",
        ),
        pytest.param(
            "Pod", "v1", b'{"metadata":{"deletionTimestamp":"soon"}}',
            'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"',
            id="time",
        ),
        pytest.param(
            "Secret", "v1", b'{"data":{"a":"%%"}}',
            "illegal base64 data at input byte 0",
            id="base64",
        ),
        pytest.param(
            "Service", "v1", b'{"spec":{"ports":[{"targetPort":true}]}}',
            "json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort"
            " of type int32",
            id="int-or-string",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["Ignore", "Warn", "Strict"])
def test_wrong_types_are_refused_in_upstreams_words(kind, api_version, raw, why, mode):
    version = api_version.rpartition("/")[2]
    expected = f'{kind} in version "{version}" cannot be handled as a {kind}: {why}'
    assert refusal(raw, kind, api_version, mode) == expected


TWO_UNKNOWN = b'{"spec":{"foo":1,"containers":[{"name":"a","bar":{"x":1}}]},"more":null}'
UNKNOWN = (
    'unknown field "spec.foo"',
    'unknown field "spec.containers[0].bar"',
    'unknown field "more"',
)


def test_strict_names_every_unknown_field():
    assert refusal(TWO_UNKNOWN) == (
        'Pod in version "v1" cannot be handled as a Pod: strict decoding error: '
        + ", ".join(UNKNOWN)
    )


def test_warn_names_every_unknown_field_and_drops_it():
    checked = decode(TWO_UNKNOWN, mode="Warn")
    assert tuple(checked.warnings) == UNKNOWN
    assert checked.obj["spec"] == {"containers": [{"name": "a", "resources": {}}]}


def test_ignore_drops_unknown_fields_in_silence():
    checked = decode(TWO_UNKNOWN, mode="Ignore")
    assert tuple(checked.warnings) == ()
    assert checked.obj == decode(TWO_UNKNOWN, mode="Warn").obj


@pytest.mark.parametrize(
    ("raw", "warning"),
    [
        pytest.param(
            b'{"spec":{"nodeName":"a","nodeName":"b"}}',
            'duplicate field "spec.nodeName"',
            id="of-a-type",
        ),
        pytest.param(
            b'{"metadata":{"labels":{"a":"1","a":"1"}}}',
            'duplicate field "metadata.labels.a"',
            id="of-a-map",
        ),
        pytest.param(
            b'{"spec":{"nodeName":"\\u0022\\u0022","nodeName":"b"}}',
            'duplicate field "spec.nodeName"',
            id="behind-escapes",
        ),
    ],
)
def test_duplicate_fields_are_named_and_the_last_one_counts(raw, warning):
    assert tuple(decode(raw, mode="Warn").warnings) == (warning,)
    assert warning in refusal(raw)
    assert decode(raw, mode="Ignore").obj == decode(raw, mode="Warn").obj


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        pytest.param(b"", "unexpected end of JSON input (<empty>)", id="empty"),
        pytest.param(
            b"x", "invalid character 'x' looking for beginning of value (78)", id="no-json"
        ),
        pytest.param(b'{"a":', 'unexpected end of JSON input ({"a":)', id="cut-off"),
        pytest.param(b"[" * 2_000 + b"]" * 2_000, "exceeded max depth (" + "5b" * 30 + " ...)",
                     id="deep"),
        pytest.param(
            b"[]",
            'json: cannot unmarshal array into Go value of type struct { APIVersion string "json:'
            '\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" } (5b5d)',
            id="list",
        ),
    ],
)  # fmt: skip
def test_what_is_no_object_is_refused_in_upstreams_words(raw, why):
    assert refusal(raw) == (
        "the object provided is unrecognized (must be of type Pod): couldn't get version/kind;"
        f" json parse error: {why}"
    )


def test_deep_unknown_values_do_not_break_the_server():
    deep = b'{"spec":{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}}"
    assert "exceeded max depth" in refusal(deep, mode="Ignore")


@pytest.mark.parametrize(
    ("kind", "api_version", "body", "expected"),
    [
        pytest.param(
            "Pod", "v1",
            {"metadata": {"name": "a", "creationTimestamp": None, "labels": {}}, "spec": None},
            {"metadata": {"name": "a"}, "spec": {}, "status": {}},
            id="nulls-and-empty-maps-go",
        ),
        pytest.param(
            "Pod", "v1",
            {"spec": {"hostNetwork": False, "terminationGracePeriodSeconds": 0, "nodeName": ""}},
            {"metadata": {}, "spec": {"terminationGracePeriodSeconds": 0}, "status": {}},
            id="zero-goes-but-not-behind-a-pointer",
        ),
        pytest.param(
            "Deployment", "apps/v1",
            {"spec": {"replicas": 0, "selector": {}, "template": {}}},
            {
                "metadata": {},
                "spec": {
                    "replicas": 0, "selector": {},
                    "template": {"metadata": {}, "spec": {}}, "strategy": {},
                },
                "status": {},
            },
            id="values-are-always-written",
        ),
        pytest.param(
            "Service", "v1",
            {"spec": {"ports": [{"port": 80}]}},
            {
                "metadata": {}, "spec": {"ports": [{"port": 80, "targetPort": 0}]},
                "status": {"loadBalancer": {}},
            },
            id="required-zero-is-written",
        ),
        pytest.param(
            "LimitRange", "v1",
            {"spec": {"limits": [{"type": "Pod", "max": {"cpu": 2.5, "memory": "1024Mi"}}]}},
            {
                "metadata": {},
                "spec": {"limits": [{"type": "Pod", "max": {"cpu": "2500m", "memory": "1Gi"}}]},
            },
            id="quantities-are-canonical",
        ),
        pytest.param(
            "Secret", "v1",
            {"data": {"a": "aGk=\n", "b": None}},
            {"metadata": {}, "data": {"a": "aGk=", "b": ""}},
            id="bytes",
        ),
        pytest.param(
            "Node", "v1",
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            {
                "metadata": {}, "spec": {},
                "status": {
                    "conditions": [
                        {
                            "type": "Ready", "status": "True",
                            "lastHeartbeatTime": None, "lastTransitionTime": None,
                        },
                    ],
                    "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
                    "nodeInfo": dict.fromkeys(
                        [
                            "machineID", "systemUUID", "bootID", "kernelVersion", "osImage",
                            "containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion",
                            "operatingSystem", "architecture",
                        ],
                        "",
                    ),
                },
            },
            id="instants-that-are-not-are-null",
        ),
    ],
)  # fmt: skip
def test_gos_round_trip(kind, api_version, body, expected):
    before = orjson.dumps(body)
    checked = decode(before, kind, api_version)
    assert checked.obj == expected
    schema = CATALOG.schema_of(CATALOG.by_kind[api_version, kind])
    given_as_object = CHECKER.check(
        body, schema, kind=kind, api_version=api_version, mode=FieldValidation.STRICT
    )
    assert given_as_object.obj == expected
    assert orjson.dumps(body) == before


def test_fields_come_in_upstreams_order():
    raw = b'{"spec":{"containers":[],"volumes":[{"name":"a"}]},"metadata":{},"kind":"Pod"}'
    obj = decode(raw).obj
    assert list(obj) == ["kind", "metadata", "spec", "status"]
    assert list(obj["spec"]) == ["volumes", "containers"]


@pytest.mark.parametrize("version", SUPPORTED_VERSIONS)
def test_every_kind_accepts_its_own_minimal_object(version):
    catalog = load(version)
    checker = Checker(catalog)
    for info in catalog.resources.values():
        body = {"apiVersion": info.api_version, "kind": info.kind, "metadata": {"name": "a"}}
        checked = checker.decode(
            orjson.dumps(body),
            catalog.schema_of(info),
            kind=info.kind,
            api_version=info.api_version,
            mode=FieldValidation.STRICT,
        )
        assert checked.warnings == ()
        assert checked.obj["kind"] == info.kind


def test_custom_resource_definitions_take_the_exact_walk():
    raw = orjson.dumps(
        {
            "spec": {
                "group": "a.b",
                "names": {"kind": "A", "plural": "as"},
                "scope": "Namespaced",
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"properties": {"a": {"foo": 1}}}},
                    },
                ],
            },
        }
    )
    message = refusal(raw, "CustomResourceDefinition", "apiextensions.k8s.io/v1")
    path = "spec.versions[0].schema.openAPIV3Schema.properties.a.foo"
    assert message.endswith(f'strict decoding error: unknown field "{path}"')


def test_yaml_bodies_are_checked_with_the_lines_of_duplicates():
    text = b"kind: Pod\nspec:\n  nodeName: a\n  nodeName: b\n  foo: 1\n"
    checked = CHECKER.decode_yaml(
        text,
        CATALOG.schema_of(CATALOG.by_kind["v1", "Pod"]),
        kind="Pod",
        api_version="v1",
        mode=FieldValidation.WARN,
    )
    assert tuple(checked.warnings) == (
        'yaml: unmarshal errors:\n  line 4: key "nodeName" already set in map',
        'unknown field "spec.foo"',
    )
    assert checked.obj["spec"] == {"nodeName": "b"}


def test_kind_and_version_are_read_without_the_rest():
    assert said(b'{"x":[1,{}],"kind":"Pod","apiVersion":"v1"}', kind="Pod") == ("Pod", "v1")
    assert said(b'{"kind":1}', kind="Pod") == ("", "")


KINDS = [("v1", "Pod"), ("v1", "Service"), ("apps/v1", "Deployment"), ("v1", "Node"),
         ("networking.k8s.io/v1", "Ingress"), ("v1", "Event"), ("batch/v1", "CronJob"),
         ("discovery.k8s.io/v1", "EndpointSlice"), ("v1", "ConfigMap")]  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_compiled_types_agree_with_the_exact_walk(data):
    api_version, kind = data.draw(st.sampled_from(KINDS))
    schema = CATALOG.schema_of(CATALOG.by_kind[api_version, kind])
    raw = orjson.dumps(data.draw(objects(schema, 5)))
    compiled = CHECKER._compiled(schema)
    assert compiled is not None
    fast = compiled.decode(raw)
    if fast is None:
        return
    walk = Walk()
    exact = walk.object(parse_pairs(raw), schema, go_name=kind)
    assert walk.problems == []
    assert orjson.dumps(fast) == orjson.dumps(exact)
    assert compiled.decode(orjson.dumps(fast)) == fast


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_no_body_breaks_the_checker_and_its_results_are_stable(data):
    api_version, kind = data.draw(st.sampled_from(KINDS))
    schema = CATALOG.schema_of(CATALOG.by_kind[api_version, kind])
    raw = orjson.dumps(data.draw(objects(schema, 5)))
    try:
        once = decode(raw, kind, api_version, "Warn").obj
    except ApiError as error:
        refused = error.code
    else:
        refused = 0
        again = decode(orjson.dumps(once), kind, api_version, "Strict").obj
        assert orjson.dumps(again) == orjson.dumps(once)
    assert refused in {0, 400}
