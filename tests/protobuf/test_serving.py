"""A cluster over TLS: what clients that speak protobuf get, and a real kubectl."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from ekslab.kit.clock import LoopClock, WallClock
from ekslab.kit.rng import Rng
from ekslab.kube.api.protobuf.envelope import decode, encode
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.cluster import Cluster, ClusterConfig
from tests.apiserver.test_registry import WIDGETS, widget_schema

PROTOBUF = "application/vnd.kubernetes.protobuf"
JSON = "application/json"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
CONFIG_MAP = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"},
              "data": {"a": "b"}}  # fmt: skip
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: a, cluster: {{server: "{url}", certificate-authority: "{home}/ca.crt"}}}}]
users: [{{name: a, user: {{client-certificate: "{home}/a.crt", client-key: "{home}/a.key"}}}}]
contexts: [{{name: a, context: {{cluster: a, user: a}}}}]
current-context: a
"""


@dataclass
class Site:
    cluster: Cluster
    url: str
    home: Path
    http: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, obj: Any = None, *, accept: str = PROTOBUF
    ) -> tuple[int, str, bytes]:
        """Code, media type and body of an answer; a body is sent as protobuf."""
        headers = {"Accept": accept, "Content-Type": PROTOBUF}
        data = None if obj is None else encode(obj)
        async with self.http.request(method, self.url + path, headers=headers, data=data) as answer:
            return answer.status, answer.headers["Content-Type"], await answer.read()

    async def kubectl(self, *arguments: str) -> tuple[int, str]:
        """Exit code and both outputs of a command."""
        process = await asyncio.create_subprocess_exec(
            "kubectl", "--kubeconfig", f"{self.home}/kubeconfig", *arguments,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        shown, _ = await process.communicate()
        return process.returncode or 0, shown.decode()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    now = WallClock().now()
    cluster = Cluster(
        ClusterConfig(name="protobuf"),
        clock=LoopClock(asyncio.get_running_loop(), epoch_s=now),
        wall_clock=WallClock(),
        rng=Rng(1),
    )
    await cluster.start()
    pair = cluster.authority.issue_client("admin", ["system:masters"], now=now)
    pair.save(tmp_path / "a.crt", tmp_path / "a.key")
    (tmp_path / "ca.crt").write_text(cluster.authority_pem)
    (tmp_path / "kubeconfig").write_text(KUBECONFIG.format(url=cluster.url, home=tmp_path))
    trust = ssl.create_default_context(cadata=cluster.authority_pem)
    trust.load_cert_chain(tmp_path / "a.crt", tmp_path / "a.key")
    connector = aiohttp.TCPConnector(ssl=trust)
    async with aiohttp.ClientSession(connector=connector) as http:
        yield Site(cluster, cluster.url, tmp_path, http)
    await cluster.stop()


async def test_objects_lists_and_errors_travel_as_protobuf(site: Site):
    code, media_type, raw = await site.ask("POST", CONFIG_MAPS, CONFIG_MAP)
    assert (code, media_type) == (201, PROTOBUF)
    created = decode(raw)
    assert (created["data"], created["metadata"]["name"]) == ({"a": "b"}, "c")
    assert created["metadata"]["managedFields"][0]["fieldsV1"]["f:data"] == {".": {}, "f:a": {}}

    _, media_type, raw = await site.ask("GET", f"{CONFIG_MAPS}/c", accept=JSON)
    assert (media_type, orjson.loads(raw)) == (JSON, created)

    code, media_type, raw = await site.ask("GET", CONFIG_MAPS, accept=f"{PROTOBUF},{JSON}")
    page = decode(raw)
    assert (code, media_type, page["kind"]) == (200, PROTOBUF, "ConfigMapList")
    assert page["metadata"]["resourceVersion"]
    assert {"metadata": created["metadata"], "data": {"a": "b"}} in page["items"]

    code, media_type, raw = await site.ask("GET", f"{CONFIG_MAPS}/none")
    status = decode(raw)
    assert (code, media_type, status["reason"]) == (404, PROTOBUF, "NotFound")
    assert status["details"] == {"name": "none", "kind": "configmaps"}


async def test_a_delete_takes_its_options_as_protobuf(site: Site):
    await site.ask("POST", CONFIG_MAPS, CONFIG_MAP)
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "another"}}
    code, _, raw = await site.ask("DELETE", f"{CONFIG_MAPS}/c", options)
    assert code == 409
    assert "the UID in the precondition (another)" in decode(raw)["message"]
    code, _, _ = await site.ask("DELETE", f"{CONFIG_MAPS}/c", {**options, "preconditions": {}})
    assert code == 200


async def test_a_watch_is_a_sequence_of_frames(site: Site):
    await site.ask("POST", CONFIG_MAPS, CONFIG_MAP)
    headers = {"Accept": PROTOBUF}
    query = "?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dc"
    async with site.http.get(site.url + CONFIG_MAPS + query, headers=headers) as answer:
        assert answer.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
        raw = await answer.read()
    size = int.from_bytes(raw[:4], "big")
    assert len(raw) == 4 + size
    assert raw[4:11] == b"\x0a\x05ADDED"
    assert decode(raw[raw.index(b"k8s\0") :])["data"] == {"a": "b"}


async def test_metadata_alone_can_be_protobuf(site: Site):
    await site.ask("POST", CONFIG_MAPS, CONFIG_MAP)
    accept = f"{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    code, media_type, raw = await site.ask("GET", f"{CONFIG_MAPS}/c", accept=accept)
    assert (code, media_type) == (200, PROTOBUF)
    found = decode(raw)
    assert (found["kind"], found["metadata"]["name"]) == ("PartialObjectMetadata", "c")
    assert "data" not in found


async def test_custom_kinds_and_tables_stay_json(site: Site):
    kind = "com.example.v1.Widget"
    info = ResourceInfo(WIDGETS, "Widget", "WidgetList", "widget", True, ("list", "watch"), kind)
    assert site.cluster._server is not None
    site.cluster._server.registry.add(info, widget_schema())
    widgets = "/apis/example.com/v1/namespaces/default/widgets"
    code, media_type, raw = await site.ask("GET", widgets, accept=f"{PROTOBUF},{JSON}")
    assert (code, media_type, orjson.loads(raw)["items"]) == (200, JSON, [])
    code, _, raw = await site.ask("GET", widgets)
    assert code == 406
    assert decode(raw)["message"].endswith(f"{JSON}, application/yaml, {PROTOBUF}")
    table = "as=Table;v=v1;g=meta.k8s.io"
    accept = f"{PROTOBUF};{table},{JSON};{table}"
    code, media_type, raw = await site.ask("GET", CONFIG_MAPS, accept=accept)
    assert (code, media_type, orjson.loads(raw)["kind"]) == (200, JSON, "Table")


async def test_kubectl_creates_and_asks_by_protobuf(site: Site):
    code, shown = await site.kubectl("create", "deployment", "web", "--image=nginx")
    assert (code, shown) == (0, "deployment.apps/web created\n")
    code, shown = await site.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert (code, shown) == (0, "admin")
    code, shown = await site.kubectl("auth", "can-i", "delete", "nodes")
    assert (code, shown.splitlines()[-1]) == (0, "yes")
    code, shown = await site.kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")
    assert (code, shown) == (0, "1")


async def test_kubectl_explains_by_the_openapi_message(site: Site):
    code, shown = await site.kubectl("explain", "pod.spec", "--output=plaintext-openapiv2")
    assert code == 0, shown
    assert "KIND:     Pod\nVERSION:  v1\n\nRESOURCE: spec <Object>" in shown
    assert "containers\t<[]Object> -required-" in shown
