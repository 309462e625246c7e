"""The HTTP adapter over real TLS sockets: who gets in, what the answers look like on the wire."""

import asyncio
import gzip
import io
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from ekslab.kit.clock import WallClock
from ekslab.kit.exchange import Exchange
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kit.serving import HttpServer, tcp_listener
from ekslab.kube.api.errors import unauthorized
from ekslab.kube.api.ports import Credentials
from ekslab.kube.api.requests import UserInfo
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import CONFIG_MAPS, PODS
from ekslab.kube.apiserver.audit_log import auditor_by
from ekslab.kube.apiserver.http import BODY_BYTES_MOST, HttpApp
from ekslab.kube.auth import pki
from ekslab.kube.auth.authenticators import CertificateAuthenticator
from tests.apiserver.world import World, config_map, pod

FLOW_SCHEMAS = Resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas")
NOW_S = WallClock().now()


class Tokens:
    """Knows two tokens."""

    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        users = {
            "root": UserInfo("root", ("system:masters",)),
            "jane": UserInfo("jane", ("developers",)),
        }
        if not credentials.bearer_token:
            return None
        user = users.get(credentials.bearer_token)
        if user is None:
            raise unauthorized()
        return user


@dataclass
class Site:
    world: World
    url: str
    http: aiohttp.ClientSession
    authority: pki.Authority
    tmp: Any
    app: HttpApp

    async def ask(
        self, method: str, path: str, *, token: str = "root", headers: Any = None, **more: Any
    ) -> tuple[int, Any, bytes]:
        sent = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        async with self.http.request(
            method, self.url + path, headers={**sent, **(headers or {})}, **more
        ) as answer:
            return answer.status, answer.headers, await answer.read()


@pytest.fixture
async def site(tmp_path) -> AsyncIterator[Site]:
    authority = pki.new_authority("kubernetes", now=NOW_S)
    world = World(
        asyncio.get_running_loop(),
        authenticators=[
            Tokens(),
            CertificateAuthenticator(authority.certificate, now=lambda: NOW_S),
        ],
    )
    pair = authority.issue_serving(["localhost"], ["127.0.0.1"], now=NOW_S)
    pair.save(tmp_path / "serving.crt", tmp_path / "serving.key")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "serving.crt", tmp_path / "serving.key")
    tls.load_verify_locations(cadata=authority.certificate_pem.decode())
    tls.verify_mode = ssl.CERT_OPTIONAL
    listener = tcp_listener("127.0.0.1", 0)
    app = HttpApp(world.server, world.authenticator, ids=Ids(Rng(2)))
    server = HttpServer(app, listener, tls=tls)
    await server.start()
    trust = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    connector = aiohttp.TCPConnector(ssl=trust)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as http:
        yield Site(world, f"https://127.0.0.1:{server.port}", http, authority, tmp_path, app)
    await server.stop()


@pytest.mark.parametrize(
    ("token", "path", "code"),
    [
        pytest.param("", "/api/v1/pods", 401, id="no token"),
        pytest.param("wrong", "/api/v1/pods", 401, id="bad token"),
        pytest.param("wrong", "/livez", 401, id="bad token on an open path"),
        pytest.param("", "/version", 401, id="version without token"),
        pytest.param("", "/livez", 403, id="open path before RBAC allows it"),
        pytest.param("jane", "/api/v1/pods", 403, id="no permission"),
        pytest.param("root", "/api/v1/pods", 200, id="allowed"),
    ],
)
async def test_who_gets_in(site: Site, token, path, code):
    status, _, body = await site.ask("GET", path, token=token)
    assert status == code, body
    if code == 401:
        answer = json.loads(body)
        assert (answer["message"], answer["reason"]) == ("Unauthorized", "Unauthorized")
        assert "details" not in answer


async def test_a_denial_says_what_kubectl_users_know(site: Site):
    _, _, body = await site.ask("GET", "/api/v1/namespaces/default/pods/web", token="jane")
    answer = json.loads(body)
    assert answer["message"] == (
        'pods "web" is forbidden: User "jane" cannot get resource "pods" in API group ""'
        ' in the namespace "default"'
    )


async def test_a_client_certificate_names_the_user(site: Site):
    pair = site.authority.issue_client("ops", ["system:masters"], now=NOW_S)
    pair.save(site.tmp / "client.crt", site.tmp / "client.key")
    trust = ssl.create_default_context(cadata=site.authority.certificate_pem.decode())
    trust.load_cert_chain(site.tmp / "client.crt", site.tmp / "client.key")
    connector = aiohttp.TCPConnector(ssl=trust)
    async with aiohttp.ClientSession(connector=connector) as http:
        body = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        async with http.post(site.url + path, json=body) as answer:
            said = await answer.json()
            assert answer.status == 201, said
    assert said["status"]["userInfo"]["username"] == "ops"
    assert "system:authenticated" in said["status"]["userInfo"]["groups"]


async def test_an_object_travels_there_and_back(site: Site):
    path = "/api/v1/namespaces/default/pods"
    status, headers, body = await site.ask("POST", path, json=pod())
    assert status == 201
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-cache, private"
    assert headers["Audit-Id"]
    created = json.loads(body)
    status, _, body = await site.ask("GET", f"{path}/web")
    assert json.loads(body) == created
    status, _, body = await site.ask("DELETE", f"{path}/web")
    assert status == 200
    assert json.loads(body)["kind"] == "Pod"


async def test_an_unknown_field_is_warned_of_by_header(site: Site):
    obj = pod()
    obj["spec"]["colour"] = "red"
    status, headers, _ = await site.ask("POST", "/api/v1/namespaces/default/pods", json=obj)
    assert status == 201
    assert headers["Warning"] == '299 - "unknown field \\"spec.colour\\""'


async def test_a_list_is_spliced_whole_and_compressed_when_it_is_large(site: Site):
    client = site.world.client()
    for index in range(40):
        await client.create(CONFIG_MAPS, config_map(f"c{index:02}", text="x" * 100_000))
    path = "/api/v1/configmaps"
    status, headers, plain = await site.ask("GET", path)
    assert status == 200
    assert "Content-Encoding" not in headers
    listed = json.loads(plain)
    assert listed["kind"] == "ConfigMapList"
    assert [obj["metadata"]["name"] for obj in listed["items"]] == [f"c{i:02}" for i in range(40)]
    _, headers, packed = await site.ask("GET", path, headers={"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert len(packed) * 10 < len(plain)


async def test_a_table_is_made_for_kubectl(site: Site):
    await site.world.client().create(PODS, pod())
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    _, _, body = await site.ask("GET", "/api/v1/pods", headers={"Accept": accept})
    table = json.loads(body)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]][:3] == [
        "Name",
        "Ready",
        "Status",
    ]
    assert table["rows"][0]["cells"][:3] == ["web", "0/1", "Pending"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert table["rows"][0]["object"]["metadata"]["name"] == "web"


async def test_metadata_alone_can_be_asked_for(site: Site):
    await site.world.client().create(PODS, pod())
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    _, _, body = await site.ask("GET", "/api/v1/pods", headers={"Accept": accept})
    listed = json.loads(body)
    assert listed["kind"] == "PartialObjectMetadataList"
    assert set(listed["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_a_watch_streams_lines_until_its_time_is_up(site: Site):
    revision = site.world.store.revision
    await site.world.client().create(CONFIG_MAPS, config_map())
    path = f"/api/v1/configmaps?watch=true&resourceVersion={revision}&timeoutSeconds=1"
    status, headers, body = await site.ask("GET", path)
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    (line,) = body.splitlines()
    event = json.loads(line)
    assert event["type"] == "ADDED"
    assert event["object"]["metadata"]["name"] == "settings"


class Recorder:
    """A client that leaves when it has enough."""

    scheme = "https"
    client = server = certificate = None
    at_eof = write_paused = False

    def __init__(self, *, enough) -> None:
        self.enough = enough
        self.pieces: list[bytes] = []
        self.exchange: Exchange

    def write(self, head: bytes, body: bytes) -> None:
        self.pieces.append(head + body)
        if self.enough(self.pieces):
            self.exchange.disconnect()

    async def drain(self) -> None: ...
    def resume_reading(self) -> None: ...
    def finished(self, exchange: Exchange) -> None: ...
    def broken(self) -> None: ...


async def test_the_first_events_of_a_watch_are_written_as_they_are_taken(site: Site):
    """Who opens watches and does not read them costs a piece each, not all that is watched."""
    for index in range(40):
        value = config_map(f"large-{index:02}")
        await site.world.client().create(CONFIG_MAPS, {**value, "data": {"a": "x" * 100_000}})
    client = Recorder(enough=lambda pieces: b"".join(pieces[1:]).count(b"\n") >= 40)
    app = HttpApp(site.world.server, site.world.authenticator, ids=Ids(Rng(3)))
    exchange = Exchange(
        client,
        "GET",
        ("/api/v1/configmaps", b"/api/v1/configmaps", b"watch=true&resourceVersion=0"),
        [(b"authorization", b"Bearer root")],
        http_version="1.0",
        keep_alive=False,
        expects_continue=False,
    )
    client.exchange = exchange
    exchange.complete()
    rest = app(exchange)
    assert rest is not None
    await rest
    head, *pieces = client.pieces
    assert head.startswith(b"HTTP/1.1 200 OK")
    names = [json.loads(line)["object"]["metadata"]["name"] for line in b"".join(pieces).split()]
    assert names == [f"large-{index:02}" for index in range(40)]
    assert max(map(len, pieces)) < 400_000


async def test_a_watch_ends_when_its_client_goes(site: Site):
    headers = {"Authorization": "Bearer root"}
    async with site.http.get(f"{site.url}/api/v1/pods?watch=true", headers=headers) as answer:
        await site.world.client().create(PODS, pod())
        await answer.content.readline()
        assert site.world.server.metrics.watches == 1
        answer.close()
    for _ in range(100):
        await site.ask("GET", "/api/v1/namespaces")
        if site.world.server.metrics.watches == 0:
            break
    assert site.world.server.metrics.watches == 0


async def test_answers_name_their_flow_and_who_is_shed_reads_when_to_come_again(site: Site):
    await site.world.bootstrap()
    schema = (await site.world.client().get(FLOW_SCHEMAS, "global-default"))["metadata"]["uid"]
    _, headers, _ = await site.ask("GET", "/api/v1/pods", token="jane")
    assert headers["X-Kubernetes-PF-FlowSchema-UID"] == schema
    level = site.world.server.flow_control.seats.levels["global-default"]
    level.queues, level.most = 0, 0
    level.executing = level.least
    status, headers, body = await site.ask("GET", "/api/v1/pods", token="jane")
    assert (status, headers["Retry-After"]) == (429, "1")
    assert body == b"Too many requests, please try again later.\n"
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    status, _, _ = await site.ask("GET", "/api/v1/pods")
    assert status == 200, "masters are exempt"


async def test_requests_are_told_of_where_there_is_a_policy(site: Site):
    policy = site.tmp / "audit-policy.yaml"
    policy.write_text(
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\n"
        "rules: [{level: RequestResponse}]\n"
    )
    site.app.auditor = auditor_by(policy, now=lambda: NOW_S, decide=site.world.server.verdict)
    path = "/api/v1/namespaces/default/pods"
    await site.ask("POST", path, json=pod(), headers={"Audit-Id": "mine"})
    await site.ask("GET", f"{path}/web")
    await site.ask("GET", f"{path}/web", token="jane")
    lines = (site.tmp / "audit.log").read_text().splitlines()
    made, read, denied = [json.loads(line) for line in lines]
    assert (made["auditID"], made["verb"], made["responseStatus"]["code"]) == (
        "mine",
        "create",
        201,
    )
    assert made["requestObject"]["metadata"]["name"] == "web"
    assert made["responseObject"] == read["responseObject"]
    assert (denied["user"]["username"], denied["responseStatus"]["code"]) == ("jane", 403)
    assert denied["annotations"]["authorization.k8s.io/decision"] == "forbid"


async def test_a_server_that_ends_says_so_and_ends_its_watches_cleanly(site: Site):
    headers = {"Authorization": "Bearer root"}
    async with site.http.get(f"{site.url}/api/v1/pods?watch=true", headers=headers) as answer:
        await site.world.client().create(PODS, pod())
        await answer.content.readline()
        site.app.begin_ending()
        assert await answer.content.read() == b""  # the last chunk: no error, no broken line
    status, headers, body = await site.ask("GET", "/readyz")
    assert (status, headers["X-Content-Type-Options"]) == (500, "nosniff")
    assert b"[-]shutdown failed: reason withheld" in body
    status, _, body = await site.ask("GET", "/livez?verbose&exclude=etcd&exclude=log")
    assert (status, b"[+]etcd excluded: ok" in body) == (200, True)
    assert b"[+]log excluded: ok" in body
    _, _, body = await site.ask("GET", "/api/v1/pods?watch=true&resourceVersion=0")
    assert body.count(b"\n") <= 1, "a watch that comes late ends at once"


@pytest.mark.parametrize(
    ("method", "path", "code", "reason"),
    [
        pytest.param("GET", "/api/v1/nonsense", 404, "NotFound", id="unknown resource"),
        pytest.param(
            "GET", "/apis/apps/v1/things", 404, "NotFound", id="unknown resource of a group"
        ),
        pytest.param("OPTIONS", "/api/v1/pods", 405, "MethodNotAllowed", id="method"),
        pytest.param("POST", "/api/v1/pods", 405, "MethodNotAllowed", id="no namespace"),
        pytest.param("PUT", "/api/v1/namespaces/a/pods", 405, "MethodNotAllowed", id="put on all"),
        pytest.param("GET", "/api/v1/pods?limit=x", 400, "BadRequest", id="bad limit"),
    ],
)
async def test_paths_and_methods_that_lead_nowhere(site: Site, method, path, code, reason):
    status, _, body = await site.ask(method, path, json=pod() if method != "GET" else None)
    assert status == code
    assert json.loads(body)["reason"] == reason


async def test_an_unknown_path_is_answered_in_text(site: Site):
    status, headers, body = await site.ask("GET", "/no/such/path")
    assert (status, body) == (404, b"404 page not found\n")
    assert headers["Content-Type"].startswith("text/plain")


async def test_a_body_over_the_limit_is_refused(site: Site):
    body = json.dumps(config_map(text="x" * BODY_BYTES_MOST))
    status, _, answer = await site.ask(
        "POST", "/api/v1/namespaces/default/configmaps", data=io.BytesIO(body.encode())
    )
    assert status == 413
    said = json.loads(answer)
    assert said["reason"] == "RequestEntityTooLarge"
    assert said["message"] == f"Request entity too large: limit is {BODY_BYTES_MOST}"


async def test_discovery_is_aggregated_for_those_who_ask_and_cached_by_etag(site: Site):
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    status, headers, body = await site.ask("GET", "/apis", headers={"Accept": accept})
    assert status == 200
    document = json.loads(body)
    assert document["kind"] == "APIGroupDiscoveryList"
    assert headers["Content-Type"] == (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    again = {"Accept": accept, "If-None-Match": headers["Etag"]}
    status, _, body = await site.ask("GET", "/apis", headers=again)
    assert (status, body) == (304, b"")


async def test_metrics_count_what_was_answered(site: Site):
    await site.ask("GET", "/api/v1/pods")
    _, _, body = await site.ask("GET", "/metrics")
    text = body.decode()
    assert (
        'apiserver_request_total{code="200",component="apiserver",group="",resource="pods",'
        'scope="cluster",subresource="",verb="LIST",version="v1"} 1.0' in text
    )
    assert 'apiserver_storage_objects{resource="pods"} 0.0' in text
    flow = '{flow_schema="exempt",priority_level="exempt"}'
    assert f"apiserver_flowcontrol_dispatched_requests_total{flow} 2.0" in text
    assert f"apiserver_flowcontrol_current_executing_requests{flow} 1.0" in text


async def test_metrics_do_not_keep_names_that_are_not_served(site: Site):
    series = site.world.server.metrics.series
    for number in range(3):
        for path in (f"/apis/a{number}/v1/b", f"/api/v1/c{number}", f"/api/v1/nodes/n/d{number}"):
            assert (await site.ask("GET", path))[0] in {403, 404}
    assert {key[1:] for key in series} == {("", "", "", "", "")}
    assert sum(sum(each.codes.values()) for each in series.values()) == 9


async def test_errors_of_bad_bodies_are_client_errors(site: Site):
    path = "/api/v1/namespaces/default/pods"
    for body in (b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"kind":1}', b"{" * 5000):
        status, _, answer = await site.ask("POST", path, data=body)
        assert status == 400, (body, answer)


@pytest.mark.parametrize(
    ("token", "code", "message"),
    [
        pytest.param(
            "root",
            403,
            'pods is forbidden: User "nobody" cannot list resource "pods" in API group ""'
            ' in the namespace "default"',
            id="who may impersonate is nobody but the other",
        ),
        pytest.param(
            "jane",
            403,
            'users "nobody" is forbidden: User "jane" cannot impersonate resource "users"'
            ' in API group "" at the cluster scope',
            id="who may not is told so",
        ),
    ],
)
async def test_acting_as_somebody_else(site: Site, token: str, code: int, message: str) -> None:
    answered, _, body = await site.ask(
        "GET",
        "/api/v1/namespaces/default/pods",
        token=token,
        headers={"Impersonate-User": "nobody"},
    )
    assert (answered, json.loads(body)["message"]) == (code, message)
