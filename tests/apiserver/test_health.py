"""What /healthz, /livez and /readyz say, whole and check by check."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.requests import ApiRequest
from ekslab.kube.api.well_known import CONFIG_MAPS
from ekslab.kube.apiserver.bootstrap import LOOPBACK_USER
from ekslab.kube.apiserver.health import Health
from ekslab.kube.store.journal import NoJournal
from ekslab.kube.store.memory import MemoryStore
from ekslab.kube.store.port import StoreError
from tests.apiserver.world import World, config_map


def ask(health: Health, path: str, **options: str) -> tuple[int, str]:
    endpoint, _, check = path.partition("/")
    request = ApiRequest(verb="get", user=LOOPBACK_USER, path=f"/{path}", options=options)
    answer = health.answer(endpoint, check, request)
    assert answer.document is not None
    return answer.code, answer.document.content.decode()


class FullDisk(NoJournal):
    """A journal on a disk that is full until somebody clears it."""

    is_full = True

    def commit(self, events: Sequence[Any], **more: Any) -> None:
        del events, more
        if self.is_full:
            raise StoreError("cannot write to the store: no space left")


@pytest.mark.parametrize("endpoint", ["healthz", "livez", "readyz"])
def test_a_healthy_server_says_ok(endpoint: str) -> None:
    health = Health(MemoryStore())
    assert ask(health, endpoint) == (200, "ok")
    assert ask(health, f"{endpoint}/etcd") == (200, "ok")
    assert ask(health, f"{endpoint}/poststarthook/rbac/bootstrap-roles") == (200, "ok")


def test_verbose_names_every_check() -> None:
    health = Health(MemoryStore())
    _, live = ask(health, "livez", verbose="")
    assert live.splitlines()[:3] == ["[+]ping ok", "[+]log ok", "[+]etcd ok"]
    assert live.endswith("[+]poststarthook/bootstrap-controller ok\nlivez check passed\n")
    _, ready = ask(health, "readyz", verbose="true")
    assert "[+]etcd-readiness ok\n[+]informer-sync ok\n" in ready
    assert ready.endswith("[+]shutdown ok\nreadyz check passed\n")


def test_checks_can_be_excluded_and_unknown_names_are_said() -> None:
    health = Health(MemoryStore())
    code, text = ask(health, "livez", verbose="", exclude="etcd,nonsense")
    assert code == 200
    assert "[+]etcd excluded: ok\n" in text
    warning = 'warn: some health checks cannot be excluded: no matches for "nonsense"\n'
    assert f"{warning}livez check passed\n" in text


def test_an_unknown_check_is_not_found() -> None:
    with pytest.raises(ApiError) as caught:
        ask(Health(MemoryStore()), "livez/shutdown")
    assert caught.value.code == 404


async def test_the_etcd_check_fails_while_the_disk_is_full_and_no_longer() -> None:
    journal = FullDisk()
    store = MemoryStore(journal=journal)
    health = Health(store)
    assert ask(health, "readyz") == (200, "ok")
    world = World(asyncio.get_running_loop(), store=store)
    error = await world.refusal("create", CONFIG_MAPS, body=config_map())
    assert error.code == 500
    code, text = ask(health, "readyz")
    assert code == 500
    assert "[-]etcd failed: reason withheld\n[-]etcd-readiness failed: reason withheld\n" in text
    assert text.endswith("readyz check failed\n")
    why = "internal server error: etcd failed: cannot write to the store: no space left\n"
    assert ask(health, "livez/etcd") == (500, why)
    assert ask(health, "livez", exclude="etcd") == (200, "ok")
    journal.is_full = False
    assert ask(health, "readyz") == (200, "ok")


def test_a_server_that_ends_is_alive_but_not_ready() -> None:
    health = Health(MemoryStore())
    health.is_ending = True
    assert ask(health, "livez") == (200, "ok")
    code, text = ask(health, "readyz")
    assert (code, "[-]shutdown failed: reason withheld\n" in text) == (500, True)


def test_every_check_has_a_path() -> None:
    paths = Health(MemoryStore()).paths()
    assert {"/livez", "/livez/ping", "/readyz/shutdown"} <= set(paths)
    assert "/livez/shutdown" not in paths
