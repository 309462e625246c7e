"""A command in a simulated container, from its first byte to its exit code."""

from typing import Final

from ekslab.kit.clock import Clock
from ekslab.kube.api.requests import Object
from ekslab.kube.api.streams import CommandOptions, Streams
from ekslab.kube.node.simulated.machine import PodRun
from ekslab.kube.node.simulated.shell import programs
from ekslab.kube.node.simulated.shell.files import Directory, Files, Room
from ekslab.kube.node.simulated.shell.running import ExitError, Shell

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


async def run_command(
    run: PodRun, options: CommandOptions, streams: Streams, *, clock: Clock
) -> int:
    """Run a command of a container; gives its exit code."""
    pod = run.item.object
    variables = _environment(pod)
    shell = Shell(
        files=Files(Directory(), {}, Room()),
        clock=clock,
        programs=programs.PROGRAMS,
        unknown=programs.unknown,
        variables=variables,
        exported=set(variables),
    )
    arguments = list(options.command) or ["sh"]
    try:
        return await shell.execute(arguments, streams, streams.write, streams.write_error)
    except ExitError as error:
        return error.code


def _environment(pod: Object) -> dict[str, str]:
    return {"PATH": _PATH, "HOSTNAME": pod["metadata"]["name"], "HOME": "/root"}
