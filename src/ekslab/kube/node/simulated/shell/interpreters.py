"""`sh`: a script on the command line, in a file, from a pipe as it comes, or at a terminal."""

from typing import Final

from ekslab.kube.node.simulated.shell import language
from ekslab.kube.node.simulated.shell.language import IncompleteError, ScriptError
from ekslab.kube.node.simulated.shell.running import Call, ExitError, Input, Shell
from ekslab.kube.node.simulated.shell.terminal import Terminal

_NOT_FOUND: Final = 127


class _Lines:
    """Standard input by lines; what a line runs reads on behind it."""

    def __init__(self, source: Input) -> None:
        self._source = source
        self._rest = b""

    async def line(self) -> bytes:
        """The next line with its end; b"" at the end of input."""
        while b"\n" not in self._rest:
            data = await self._source.read()
            if not data:
                line, self._rest = self._rest, b""
                return line
            self._rest += data
            if len(self._rest) > language.SCRIPT_BYTES_MOST:
                break
        line, end, self._rest = self._rest.partition(b"\n")
        return line + end

    async def read(self) -> bytes:
        """What is left, or the next piece."""
        if self._rest:
            rest, self._rest = self._rest, b""
            return rest
        return await self._source.read()


async def sh(call: Call) -> int:
    """Run `sh` with its options: `sh [-c script] [file] [argument ...]`."""
    shell = call.shell.copy()
    words = call.arguments[1:]
    flags = ""
    while words and words[0][:1] in {"-", "+"} and words[0] != "-":
        flags += words.pop(0)
    ends = (call.stdin, call.write, call.write_error)
    if "c" in flags and "--" not in flags:
        if not words:
            await call.complain(f"{call.arguments[0]}: -c requires an argument")
            return 2
        shell.parameters = words[1:] or [call.arguments[0]]
        return await shell.run(words[0], *ends)
    if words:
        try:
            script = shell.files.read(shell.path(words[0]))
        except OSError as error:
            await call.complain(f"sh: can't open '{words[0]}': {error.strerror}")
            return _NOT_FOUND
        shell.parameters = words
        return await shell.run(script.decode(errors="replace"), *ends)
    return await _read_and_run(call, shell)


async def _read_and_run(call: Call, shell: Shell) -> int:
    """Run every line when it is there; a terminal is prompted."""
    terminal = call.stdin if isinstance(call.stdin, Terminal) else None
    lines = _Lines(call.stdin)
    script = ""
    while True:
        if terminal is not None:
            await call.write(b"> " if script else f"{shell.directory} # ".encode())
        line = (await lines.line()).decode(errors="replace")
        script += line
        if not line and not script:
            break
        try:
            language.parse(script)
        except IncompleteError:
            if line:
                continue
        except ScriptError:
            pass  # said when it is run
        try:
            await _run_one(call, shell, script, lines, terminal)
        except ExitError as error:
            return error.code
        script = ""
        if not line:
            break
    if terminal is not None:
        await call.write(b"\n")
    return shell.code


async def _run_one(
    call: Call, shell: Shell, script: str, lines: _Lines, terminal: Terminal | None
) -> None:
    if terminal is None:
        await shell.run_line(script, lines, call.write, call.write_error)
        return
    work = shell.run_line(script, lines, call.write, call.write_error)
    shell.code = await terminal.run(work)
