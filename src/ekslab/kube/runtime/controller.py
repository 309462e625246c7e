"""What a controller is, and how controllers are run.

A controller watches types through informers, turns each change into keys, and reconciles one key
at a time: it looks at the world as it is now (never at what changed), decides, writes, returns. It
never sleeps; it may ask to be called again. The contract is that of upstream's
`controller-runtime` reconcilers, the behaviour on errors that of client-go work queues.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

from ekslab.kit import logs
from ekslab.kit.clock import Clock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Client
from ekslab.kube.api.resources import Resource
from ekslab.kube.client.informers import Informer, InformerFactory, OnChange
from ekslab.kube.runtime.events import EventRecorder
from ekslab.kube.runtime.work_queue import WorkQueue

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile says when it is through; `requeue_after_s` asks to be called again."""

    requeue_after_s: float | None = None


DONE: Final = Result()


class TerminalError(Exception):
    """Trying again cannot help: the object has to change first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """What every controller is given.

    `client` is bound to the controller's own identity and makes its writes; `informers` look
    through an identity they share (upstream: the controller manager's own).
    """

    client: Client
    informers: InformerFactory
    events: EventRecorder
    clock: Clock
    rng: Rng
    ids: Ids


class Controller(ABC, Generic[K]):
    """One control loop. Subclasses name themselves, `watch` in their constructor, `reconcile`.

    Attributes:
        name: upstream's name, which is also that of its service account.
        workers: how many keys are worked on at the same time.
    """

    name: ClassVar[str]
    workers: ClassVar[int] = 5

    def __init__(self, tools: Toolbox) -> None:
        self.tools = tools
        self.client = tools.client
        self.clock = tools.clock
        self.events = tools.events
        self.queue: WorkQueue[K] = WorkQueue(clock=tools.clock)
        self.log = logs.get(self.name)
        self._informers: list[Informer] = []

    @abstractmethod
    async def reconcile(self, key: K) -> Result:
        """Bring what `key` names closer to what it should be. Idempotent.

        Raises:
            ApiError: the server refused; the key is tried again after its back-off.
            TerminalError: the key is left alone until something changes.
        """

    def watch(self, resource: Resource, handler: OnChange | None = None) -> Informer:
        """Look at a type; `handler` is told of each change and puts keys into `self.queue`."""
        informer = self.tools.informers.informer(resource)
        self._informers.append(informer)
        if handler is not None:
            informer.on_change(handler)
        return informer

    async def run(self) -> None:
        """Reconcile until cancelled."""
        for informer in self._informers:
            await informer.wait_synced()
        try:
            async with TaskGroup(self.name) as group:
                group.start(self.events.run(), name="events")
                for number in range(self.workers):
                    group.start(self._work(), name=f"worker-{number}")
        finally:
            self.queue.close()

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._attempt(key)
            finally:
                self.queue.done(key)

    async def _attempt(self, key: K) -> None:
        try:
            result = await self.reconcile(key)
        except ApiError as error:
            retry_in_s = self.queue.add_rate_limited(key)
            level = "debug" if error.code == 409 else "warning"
            say = getattr(self.log, level)
            say("retrying", key=key, code=error.code, error=error.message, retry_in_s=retry_in_s)
        except TerminalError as error:
            self.queue.forget(key)
            self.log.warning("given up until it changes", key=key, error=str(error))
        except AssertionError:
            raise
        except Exception:  # one odd object must not stop the others (upstream: HandleCrash)
            retry_in_s = self.queue.add_rate_limited(key)
            self.log.exception("reconcile failed", key=key, retry_in_s=retry_in_s)
        else:
            self.queue.forget(key)
            if result.requeue_after_s is not None:
                self.queue.add_after(key, result.requeue_after_s)


class ControllerRunner:
    """Runs controllers, and the informers they look through."""

    def __init__(self, controllers: Sequence[Controller[Any]]) -> None:
        self._controllers = controllers

    async def run(self) -> None:
        """Run until cancelled. A controller that is refused by the server goes on trying by
        itself; only a mistake of ours (`Bug`) ends them all.
        """
        factories = {id(one.tools.informers): one.tools.informers for one in self._controllers}
        async with TaskGroup("controllers") as group:
            for number, factory in enumerate(factories.values()):
                group.start(factory.run(), name=f"informers-{number}")
            for controller in self._controllers:
                group.start(controller.run(), name=controller.name)
