"""What the API server asks a simulated node about its containers: logs, exec, attach, ports.

Upstream: `pkg/kubelet/kubelet_pods.go` (GetExec and its like) and `pkg/kubelet/server`.
"""

import orjson

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import LogOptions
from ekslab.kube.api.streams import Backend, CommandOptions, Connected, Port, Reply, Run, Streams
from ekslab.kube.node.lifecycle import Step
from ekslab.kube.node.simulated import web
from ekslab.kube.node.simulated.logs import NodeLogs
from ekslab.kube.node.simulated.machine import PodRun


class Containers(NodeLogs):
    """Implements `NodeConnection` for one simulated node."""

    def exec(self, namespace: str, pod: str, options: CommandOptions) -> Run:
        """A command in a container. See `NodeConnection`.

        Raises:
            ApiError: 404 if the pod is not there, 500 if its container does not run.
        """
        run = self._running(namespace, pod, options.container)

        async def command(streams: Streams) -> int:
            # Loaded when somebody runs a command for the first time.
            from ekslab.kube.node.simulated.shell.session import run_command

            return await run_command(run, options, streams, clock=self._clock)

        return command

    def attach(self, namespace: str, pod: str, options: CommandOptions) -> Run:
        """What runs in a container: its log, followed. See `NodeConnection`.

        Raises:
            ApiError: as `exec`.
        """
        self._running(namespace, pod, options.container)
        wanted = LogOptions(container=options.container, follow=True)

        async def follow(streams: Streams) -> int:
            async for piece in self.logs(namespace, pod, wanted):
                await streams.write(piece)
            return 0

        return follow

    def forward(self, namespace: str, pod: str, port: int) -> Port:
        """What listens on a port of a pod. See `NodeConnection`.

        Raises:
            ApiError: 404 if the pod is not there, 500 if it does not run.
        """
        run = self._listening(namespace, pod, port)

        async def serve(connection: Connected) -> None:
            await web.serve(run, port, connection)

        return serve

    async def ask(self, namespace: str, pod: str, port: int, request: Backend) -> Reply:
        """The answer of what listens on a port of a pod. See `NodeConnection`.

        Raises:
            ApiError: as `forward`.
        """
        return web.reply(self._listening(namespace, pod, port), port, request)

    async def ask_agent(self, request: Backend) -> Reply:
        """The agent's own paths: `/healthz` and `/pods`. See `NodeConnection`."""
        path = request.path.partition("?")[0].rstrip("/")
        if path == "/healthz":
            return Reply(200, (("Content-Type", "text/plain; charset=utf-8"),), b"ok")
        if path == "/pods":
            pods = [run.item.object for run in self._machine.pods.values()]
            body = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}
            return Reply(200, (("Content-Type", "application/json"),), orjson.dumps(body))
        text = b"404 page not found\n"
        return Reply(404, (("Content-Type", "text/plain; charset=utf-8"),), text)

    def _listening(self, namespace: str, pod: str, port: int) -> PodRun:
        run = self._find(namespace, pod)
        if any(one.step is Step.RUNNING for one in run.state.containers):
            return run
        text = (
            f"error forwarding port {port} to pod {run.uid}, uid : failed to connect to"
            f" localhost:{port}: dial tcp4 127.0.0.1:{port}: connect: connection refused"
        )
        raise ApiError(500, "", text)

    def _running(self, namespace: str, pod: str, container: str) -> PodRun:
        try:
            run = self._find(namespace, pod)
        except ApiError:
            raise ApiError(404, "", "pod does not exist") from None
        names = [one.name for one in run.plan.containers]
        if (
            container not in names
            or run.state.containers[names.index(container)].step is not Step.RUNNING
        ):
            raise ApiError(500, "", f'container not found ("{container}")')
        return run
