"""A webhook server on loopback, with a certificate of a CA made here, and configurations of it."""

import asyncio
import base64
import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ekslab.kit.clock import WallClock
from ekslab.kit.exchange import Exchange
from ekslab.kit.serving import HttpServer, tcp_listener
from ekslab.kube.api.resources import Resource
from ekslab.kube.auth import pki

Object = dict[str, Any]
Answerer = Callable[[Object], Object]

GROUP = "admissionregistration.k8s.io"
MUTATING = Resource(GROUP, "v1", "mutatingwebhookconfigurations")
VALIDATING = Resource(GROUP, "v1", "validatingwebhookconfigurations")


class HookServer:
    """Answers AdmissionReviews; keeps what it was asked."""

    def __init__(self, home: Path) -> None:
        authority = pki.new_authority("hooks", now=WallClock().now())
        pair = authority.issue_serving(
            ("localhost", "hooks.default.svc"), ("127.0.0.1",), now=WallClock().now()
        )
        pair.save(home / "hook.crt", home / "hook.key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(home / "hook.crt", home / "hook.key")
        self.bundle = base64.b64encode(authority.certificate_pem).decode()
        self.asked: list[Object] = []
        self.paths: list[str] = []
        self.answers: dict[str, Answerer | bytes | float] = {}
        self._server = HttpServer(self._handle, tcp_listener("127.0.0.1", 0), tls=context)

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    @property
    def port(self) -> int:
        return self._server.port

    def at(self, path: str, answer: Answerer | bytes | float) -> Object:
        """Answer like this there: by a function of the request, with a body, with a code,
        or late."""
        self.answers[path] = answer
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle}

    async def _handle(self, exchange: Exchange) -> None:
        body = await exchange.read()
        path = exchange.path
        self.paths.append(f"{path}?{exchange.query.decode()}")
        answer = self.answers[path]
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            answer = allow
        if isinstance(answer, int):
            exchange.answer(answer, (), b"no")
            return
        if isinstance(answer, bytes):
            if answer == HANGS:
                await exchange.wait_gone()
                return
            exchange.answer(200, (), answer)
            return
        review = json.loads(body)
        self.asked.append(review["request"])
        response = {"uid": review["request"]["uid"], **answer(review["request"])}
        reply = {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
        exchange.answer(200, (), json.dumps(reply).encode())


HANGS = b"hangs"


def allow(_request: Object) -> Object:
    return {"allowed": True}


def deny(message: str = "no", **status: Any) -> Answerer:
    return lambda _request: {"allowed": False, "status": {"message": message, **status}}


def patch(*operations: Mapping[str, Any]) -> Answerer:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda _request: {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def add(path: str, value: Any) -> Object:
    return {"op": "add", "path": path, "value": value}


def rule(resources: str = "configmaps", *operations: str, group: str = "", **more: Any) -> Object:
    return {
        "apiGroups": [group],
        "apiVersions": ["v1"],
        "operations": list(operations or ("CREATE",)),
        "resources": [resources],
        **more,
    }


def hook(client: Object, *rules: Object, name: str = "hook.example.com", **more: Any) -> Object:
    return {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": client,
        "sideEffects": "None",
        "rules": list(rules or (rule(),)),
        **more,
    }


def configuration(*hooks: Object, name: str = "hooks", **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": labels}, "webhooks": list(hooks)}
