"""Bodies that are deep or have endless numbers: refused, never a 500, and nobody's end."""

import json

import pytest

from tests.apiserver.test_http import Site, site  # noqa: F401 - the fixture

YAML = "application/yaml"
JSON = "application/json"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
CRON_JOBS = "/apis/batch/v1/namespaces/default/cronjobs"
ENDLESS = "9" * 5_000


def config_map(**meta: object) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "deep", **meta}}


def nested(levels: int, inner: str = "1") -> str:
    return '{"f:a":' * levels + inner + "}" * levels


def owned(levels: int) -> str:
    entry = (
        '{"manager":"m","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1",'
        '"fieldsV1":' + nested(levels, "{}") + "}"
    )
    return json.dumps(config_map())[:-2] + f',"managedFields":[{entry}]' + "}}"


def budget(amount: str) -> str:
    return json.dumps(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "b"},
            "spec": {"minAvailable": amount},
        }
    )


def cron_job(schedule: str) -> str:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    return json.dumps(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "c"},
            "spec": {
                "schedule": schedule,
                "jobTemplate": {"spec": {"template": {"spec": pod}}},
            },
        }
    )


@pytest.mark.parametrize(
    ("path", "media_type", "body", "code"),
    [
        pytest.param(CONFIG_MAPS, YAML, "[" * 100_000, 400, id="yaml-brackets"),
        pytest.param(CONFIG_MAPS, YAML, "{a: " * 100_000, 400, id="yaml-braces"),
        pytest.param(CONFIG_MAPS, YAML, "- " * 100_000, 400, id="yaml-dashes"),
        pytest.param(CONFIG_MAPS, YAML, "? " * 100_000, 400, id="yaml-keys"),
        pytest.param(CONFIG_MAPS, JSON, nested(900), 400, id="json"),
        pytest.param(CONFIG_MAPS, JSON, owned(900), 400, id="fields-900"),
        pytest.param(CONFIG_MAPS, JSON, owned(250), 400, id="fields-250"),
        pytest.param(CONFIG_MAPS, JSON, owned(190), 201, id="fields-190"),
        pytest.param(BUDGETS, JSON, budget(f"{ENDLESS}%"), 201, id="percent"),
        pytest.param(CRON_JOBS, JSON, cron_job(f"{ENDLESS} * * * *"), 422, id="minute"),
        pytest.param(CRON_JOBS, JSON, cron_job(f"*/{ENDLESS} * * * *"), 422, id="step"),
    ],
)
async def test_bodies(site: Site, path: str, media_type: str, body: str, code: int):  # noqa: F811
    headers = {"Content-Type": media_type}
    status, _, answer = await site.ask("POST", path, data=body.encode(), headers=headers)
    assert status == code, answer
    status, _, answer = await site.ask("GET", path)
    assert len(json.loads(answer)["items"]) == (code == 201)


@pytest.mark.parametrize(
    ("media_type", "patch", "code"),
    [
        pytest.param(MERGE, nested(1_000), 400, id="merge"),
        pytest.param(STRATEGIC, nested(1_000), 400, id="strategic"),
        pytest.param(APPLY, "[" * 100_000, 400, id="apply"),
        pytest.param(
            JSON_PATCH,
            json.dumps([{"op": "add", "path": f"/metadata/finalizers/{ENDLESS}", "value": "a/b"}]),
            422,
            id="index",
        ),
        pytest.param(
            JSON_PATCH,
            f'[{{"op":"add","path":"/x","value":{nested(150)}}},'
            f'{{"op":"add","path":"/x{"/f:a" * 149}","value":{nested(150)}}}]',
            400,
            id="nesting-operations",
        ),
    ],
)
async def test_patches(site: Site, media_type: str, patch: str, code: int):  # noqa: F811
    made = json.dumps(config_map(finalizers=["a/c"])).encode()
    assert (await site.ask("POST", CONFIG_MAPS, data=made))[0] == 201
    _, _, before = await site.ask("GET", f"{CONFIG_MAPS}/deep")
    headers = {"Content-Type": media_type}
    path = f"{CONFIG_MAPS}/deep?fieldManager=me"
    status, _, answer = await site.ask("PATCH", path, data=patch.encode(), headers=headers)
    assert status == code, answer
    assert (await site.ask("GET", f"{CONFIG_MAPS}/deep"))[2] == before


async def test_selectors(site: Site):  # noqa: F811
    status, _, _ = await site.ask("GET", f"{CONFIG_MAPS}?labelSelector=a%3E{ENDLESS}")
    assert status == 400
