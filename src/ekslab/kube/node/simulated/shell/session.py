"""A command in a simulated container, from its first byte to its exit code."""

from ekslab.kit.clock import Clock
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.requests import Object
from ekslab.kube.api.streams import CommandOptions, Streams
from ekslab.kube.node.simulated.machine import PodRun
from ekslab.kube.node.simulated.shell import programs
from ekslab.kube.node.simulated.shell.environment import containers_of, variables_of
from ekslab.kube.node.simulated.shell.running import ExitError, Shell
from ekslab.kube.node.simulated.shell.terminal import Terminal
from ekslab.kube.node.simulated.shell.volumes import files_of


async def run_command(
    run: PodRun, options: CommandOptions, streams: Streams, *, clock: Clock
) -> int:
    """Run a command of a container; gives its exit code."""
    shell = await _shell(run, options.container, clock)
    arguments = list(options.command) or ["sh"]
    try:
        if options.tty:
            return await _at_terminal(shell, arguments, streams)
        return await shell.execute(arguments, streams, streams.write, streams.write_error)
    except ExitError as error:
        return error.code


async def _shell(run: PodRun, name: str, clock: Clock) -> Shell:
    pod, client = run.item.object, run.machine.client
    box = next(one for one in containers_of(pod) if one["name"] == name)
    files = await files_of(run, box, client, clock)
    variables = await variables_of(run, box, client)
    directory = box.get("workingDir") or "/"
    if not files.exists(directory):
        files.make_directories(directory, at_s=clock.now())
    return Shell(
        files=files,
        clock=clock,
        programs=programs.PROGRAMS,
        unknown=programs.unknown,
        variables=variables,
        exported=set(variables),
        directory=directory,
        user=_identity(pod, box, "runAsUser"),
        group=_identity(pod, box, "runAsGroup"),
    )


def _identity(pod: Object, box: Object, which: str) -> int:
    """Who a container runs as: what it says, else what its pod says, else root."""
    for context in (box.get("securityContext"), pod["spec"].get("securityContext")):
        found = (context or {}).get(which)
        if found is not None:
            return int(found)
    return 0


async def _at_terminal(shell: Shell, arguments: list[str], streams: Streams) -> int:
    terminal = Terminal(streams)
    async with TaskGroup("terminal") as tasks:
        tasks.start(terminal.listen(), name="keys")
        try:
            return await terminal.run(
                shell.execute(arguments, terminal, terminal.write, terminal.write)
            )
        finally:
            tasks.cancel()
