"""The API as bytes on a socket: paths, JSON, status codes, watch events. No client library.

    pods = api.at("v1", "pods", "default")
    pods.create({...}); pods.get("web"); pods.list(labelSelector="app=web")
    with pods.watch() as watch: watch.next()

Calls give the answer's body and fail with the server's Status unless it is a success; `refused`
gives the Status of a call that must fail.
"""

import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPMessage, HTTPResponse
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

Object = dict[str, Any]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_PATIENCE_S = 10  # how long an answer or an event may take before a test has failed


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    code: int
    headers: HTTPMessage
    content: bytes

    @property
    def body(self) -> Any:
        """The content, decoded from JSON."""
        return json.loads(self.content)


class RefusedError(AssertionError):
    """The server did not do as it was asked."""

    def __init__(self, method: str, path: str, reply: Reply) -> None:
        super().__init__(f"{method} {path}: {reply.code} {reply.content.decode()}")
        self.reply = reply


def refused(call: Callable[[], object]) -> Object:
    """The Status that a call is refused with."""
    with pytest.raises(RefusedError) as caught:
        call()
    reply = caught.value.reply
    status: Object = reply.body
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", reply.code)
    return status


class Api:
    """One user's way to one API server: `context` holds the user's certificate, if there is one."""

    def __init__(self, url: str, context: ssl.SSLContext, headers: Mapping[str, str]) -> None:
        self._url = url
        self._context = context
        self._headers = dict(headers)
        self._kept: http.client.HTTPSConnection | None = None

    def with_headers(self, **headers: str) -> "Api":
        """The same way with more headers; `Impersonate_User` stands for `Impersonate-User`."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return Api(self._url, self._context, self._headers | more)

    def close(self) -> None:
        """Close the connection."""
        if self._kept is not None:
            self._kept.close()

    def connect(self) -> http.client.HTTPSConnection:
        """A connection of one's own."""
        address = urlsplit(self._url).netloc
        return http.client.HTTPSConnection(address, context=self._context, timeout=_PATIENCE_S)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Reply:
        """One request and its answer, whatever it is; text and bytes are sent as they are."""
        if self._kept is None:
            self._kept = self.connect()
        answer = self.send(self._kept, method, path, body, content_type=content_type, accept=accept)
        return Reply(answer.status, answer.headers, answer.read())

    def send(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> HTTPResponse:
        """Ask on this connection; the answer is still to be read."""
        content = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        headers = {**self._headers, "Accept": accept}
        if content is not None:
            headers["Content-Type"] = content_type
        connection.request(method, path, content, headers)
        return connection.getresponse()

    def do(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """One request that succeeds: the body of its answer."""
        reply = self.ask(method, path, body, **more)
        if not 200 <= reply.code < 300:
            raise RefusedError(method, path, reply)
        return reply.body

    def at(self, group_version: str, plural: str, namespace: str = "") -> "Collection":
        """The objects of a resource, of one namespace or of all."""
        return Collection(self, group_version, plural, namespace)


@dataclass(frozen=True, slots=True)
class Collection:
    """The objects of one resource. Options are the API's own, by their own names."""

    api: Api
    group_version: str
    plural: str
    namespace: str = ""

    def path(self, name: str = "", subresource: str = "", **options: object) -> str:
        """The path of the collection, of an object in it, or of a part of that object."""
        parts = ["", "apis" if "/" in self.group_version else "api", self.group_version]
        if self.namespace:
            parts += ["namespaces", self.namespace]
        parts += [self.plural, *(quote(part) for part in (name, subresource) if part)]
        given = {key: value for key, value in options.items() if value is not None}
        return "/".join(parts) + (f"?{urlencode(given)}" if given else "")

    def everywhere(self) -> "Collection":
        """The same resource in all namespaces."""
        return replace(self, namespace="")

    def create(self, body: object, **options: object) -> Object:
        """POST; the answer is 201."""
        reply = self.api.ask("POST", self.path(**options), body)
        if reply.code != 201:
            raise RefusedError("POST", self.path(), reply)
        return reply.body

    def get(self, name: str, subresource: str = "") -> Object:
        """GET one."""
        return self.api.do("GET", self.path(name, subresource))

    def list(self, **options: object) -> Object:
        """GET all."""
        return self.api.do("GET", self.path(**options))

    def names(self, **options: object) -> Sequence[str]:
        """The names of what a list gives."""
        return [item["metadata"]["name"] for item in self.list(**options)["items"]]

    def replace(self, obj: Object, subresource: str = "", **options: object) -> Object:
        """PUT one."""
        path = self.path(obj["metadata"]["name"], subresource, **options)
        return self.api.do("PUT", path, obj)

    def patch(
        self,
        name: str,
        body: object,
        subresource: str = "",
        *,
        content_type: str = MERGE_PATCH,
        **options: object,
    ) -> Object:
        """PATCH one, by default with a JSON merge patch."""
        path = self.path(name, subresource, **options)
        return self.api.do("PATCH", path, body, content_type=content_type)

    def delete(self, name: str, **options: object) -> Object:
        """DELETE one."""
        return self.api.do("DELETE", self.path(name, **options))

    def delete_all(self, **options: object) -> Object:
        """DELETE the collection, or what a selector chooses of it."""
        return self.api.do("DELETE", self.path(**options))

    def gone(self, name: str) -> bool:
        """Whether an object is not to be found."""
        return self.api.ask("GET", self.path(name)).code == 404

    @contextmanager
    def watch(self, **options: object) -> Iterator["Watch"]:
        """Watch from a resourceVersion, or from the state of now."""
        path = self.path(watch="true", **options)
        connection = self.api.connect()
        try:
            answer = self.api.send(connection, "GET", path)
            if answer.status != 200:
                raise RefusedError("GET", path, Reply(answer.status, answer.headers, answer.read()))
            yield Watch(answer)
        finally:
            connection.close()


class Watch:
    """The events of one watch."""

    def __init__(self, answer: HTTPResponse) -> None:
        self._answer = answer

    def next(self) -> tuple[str, Object]:
        """The next event: its type and its object."""
        line = self._answer.readline()
        assert line, "the watch has ended"
        event = json.loads(line)
        return event["type"], event["object"]

    def until(self, wanted: str, condition: Callable[[Object], object] = lambda _: True) -> Object:
        """The object of the next event of a type for which the condition holds."""
        while True:
            kind, obj = self.next()
            if kind == wanted and condition(obj):
                return obj
