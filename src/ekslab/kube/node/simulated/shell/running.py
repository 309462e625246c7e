"""Runs what `language` has read: expansion, redirections, pipes, conditions, loops.

Programs of a pipe run one after the other, each with the whole output of the one before: none of
them goes on for ever. What they say to each other is bounded by `PIPE_BYTES_MOST`.
"""

import errno
import fnmatch
import os
import posixpath
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from ekslab.kit.clock import Clock
from ekslab.kube.node.simulated.shell import language
from ekslab.kube.node.simulated.shell.files import Files
from ekslab.kube.node.simulated.shell.language import (
    For,
    Group,
    If,
    Pipeline,
    Redirect,
    Script,
    ScriptError,
    Simple,
    Substitution,
    Text,
    Variable,
    While,
    Word,
)

PIPE_BYTES_MOST: Final = 16 << 20
_ROUNDS_MOST: Final = 10_000

Write = Callable[[bytes], Awaitable[None]]


class Input(Protocol):
    """Where a program reads."""

    async def read(self) -> bytes:
        """The next piece; b"" at the end."""


class Buffer:
    """Bytes written, then read."""

    def __init__(self, content: bytes = b"") -> None:
        self._pieces = [content] if content else []
        self._size = len(content)

    async def write(self, data: bytes) -> None:
        """Take bytes.

        Raises:
            OSError: EFBIG, too many.
        """
        self._size += len(data)
        if self._size > PIPE_BYTES_MOST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        self._pieces.append(data)

    async def read(self) -> bytes:
        """Everything at once, then the end."""
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content


@dataclass(slots=True)
class Call:
    """One run of a program: what it was given."""

    arguments: list[str]
    shell: "Shell"
    stdin: Input
    write: Write
    write_error: Write

    async def read_all(self) -> bytes:
        """All of standard input.

        Raises:
            OSError: EFBIG, too much.
        """
        whole = Buffer()
        while piece := await self.stdin.read():
            await whole.write(piece)
        return await whole.read()

    async def print(self, text: str) -> None:
        """A line to standard output."""
        await self.write(f"{text}\n".encode())

    async def complain(self, text: str) -> None:
        """A line to standard error."""
        await self.write_error(f"{text}\n".encode())


Program = Callable[[Call], Awaitable[int]]


class ExitError(Exception):
    """The shell is to end, with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Ends:
    """Where a command reads and writes."""

    stdin: Input
    write: Write
    write_error: Write


@dataclass(slots=True)
class Shell:
    """One shell: where it is, what it knows, and what it can run."""

    files: Files
    clock: Clock
    programs: Mapping[str, Program]
    unknown: Program
    variables: dict[str, str] = field(default_factory=dict)
    exported: set[str] = field(default_factory=set)
    parameters: list[str] = field(default_factory=lambda: ["sh"])
    directory: str = "/"
    user: int = 0
    group: int = 0
    code: int = 0

    def path(self, name: str) -> str:
        """A path as an absolute one."""
        return posixpath.normpath(posixpath.join(self.directory, name))

    def environment(self) -> dict[str, str]:
        """What programs see of the variables."""
        return {name: text for name, text in self.variables.items() if name in self.exported}

    async def run(self, text: str, stdin: Input, write: Write, write_error: Write) -> int:
        """Run a script to its end; gives its exit code."""
        try:
            return await self.run_line(text, stdin, write, write_error)
        except ExitError as error:
            self.code = error.code
            return error.code

    async def run_line(self, text: str, stdin: Input, write: Write, write_error: Write) -> int:
        """Run a part of a script.

        Raises:
            ExitError: it says that the whole is to end.
        """
        try:
            script = language.parse(text)
        except ScriptError as error:
            await write_error(f"sh: {error}\n".encode())
            self.code = 2
            return 2
        return await self.carry_out(script, _Ends(stdin, write, write_error))

    async def execute(
        self, arguments: list[str], stdin: Input, write: Write, write_error: Write
    ) -> int:
        """Run one program with its arguments."""
        name = arguments[0]
        program = self.programs.get(posixpath.basename(name) if "/" in name else name)
        call = Call(arguments, self, stdin, write, write_error)
        try:
            return await (program or self.unknown)(call)
        except OSError as error:
            await call.complain(f"{name}: {error.strerror}")
            return 1

    async def carry_out(self, script: Script, ends: _Ends) -> int:
        """Run what was read; gives the exit code of what ran last."""
        for condition, pipeline in script.steps:
            if (condition == "&&" and self.code) or (condition == "||" and not self.code):
                continue
            self.code = await self._pipeline(pipeline, ends)
        return self.code

    async def _pipeline(self, pipeline: Pipeline, ends: _Ends) -> int:
        stdin = ends.stdin
        code = 0
        last = len(pipeline.commands) - 1
        for place, command in enumerate(pipeline.commands):
            pipe = Buffer()
            write = ends.write if place == last else pipe.write
            shell = self if last == 0 else self.copy()
            code = await shell.carry_out_one(command, _Ends(stdin, write, ends.write_error))
            stdin = pipe
        return int(not code) if pipeline.negated else code

    def copy(self) -> "Shell":
        """A shell whose changes are its own."""
        return replace(
            self,
            variables=dict(self.variables),
            exported=set(self.exported),
            parameters=list(self.parameters),
        )

    async def carry_out_one(self, command: language.Command, ends: _Ends) -> int:
        """Run one command with its redirections."""
        try:
            ends, files = await self._redirected(command.redirects, ends)
        except OSError as error:
            await ends.write_error(f"sh: {error.filename or ''}: {error.strerror}\n".encode())
            return 1
        try:
            code = await self._one(command, ends)
        finally:
            for path, written in files:
                content = await written.read()
                self.files.write(path, content, at_s=self.clock.now())
        return code

    async def _one(self, command: language.Command, ends: _Ends) -> int:
        match command:
            case Simple():
                return await self._simple(command, ends)
            case Group(script=script, is_subshell=True):
                try:
                    return await self.copy().carry_out(script, ends)
                except ExitError as error:
                    return error.code
            case Group(script=script):
                return await self.carry_out(script, ends)
            case If():
                for condition, then in command.branches:
                    if await self.carry_out(condition, ends) == 0:
                        return await self.carry_out(then, ends)
                self.code = 0
                return await self.carry_out(command.otherwise or Script(), ends)
            case For():
                code = 0
                for word in await self._expanded(command.words, ends):
                    self.variables[command.name] = word
                    code = await self.carry_out(command.body, ends)
                return code
            case While():
                return await self._while(command, ends)

    async def _while(self, command: While, ends: _Ends) -> int:
        code = 0
        for _ in range(_ROUNDS_MOST):
            if (await self.carry_out(command.condition, ends) == 0) == command.until:
                return code
            code = await self.carry_out(command.body, ends)
            await self.clock.sleep(0)
        await ends.write_error(b"sh: too many rounds (simulated by ekslab)\n")
        raise ExitError(2)

    async def _simple(self, command: Simple, ends: _Ends) -> int:
        assigned = {name: await self._joined(word, ends) for name, word in command.assignments}
        arguments = await self._expanded(command.words, ends)
        if not arguments:
            self.variables.update(assigned)
            return self.code if command.assignments else 0
        shell = self
        if assigned:
            shell = self.copy()
            shell.variables.update(assigned)
            shell.exported.update(assigned)
        return await shell.execute(arguments, ends.stdin, ends.write, ends.write_error)

    # Redirections -----------------------------------------------------------------------------

    async def _redirected(
        self, redirects: tuple[Redirect, ...], ends: _Ends
    ) -> tuple[_Ends, list[tuple[str, Buffer]]]:
        """The ends after redirection, and what is to be written to files afterwards."""
        written: list[tuple[str, Buffer]] = []
        for redirect in redirects:
            target = await self._joined(redirect.target, ends)
            if redirect.operator == ">&":
                write = ends.write if target == "1" else ends.write_error
            elif target == "/dev/null" and redirect.operator != "<":
                write = _nowhere
            else:
                path = self.path(target)
                try:
                    if redirect.operator == "<":
                        ends = replace(ends, stdin=Buffer(self.files.read(path)))
                        continue
                    old = self.files.exists(path) and redirect.operator == ">>"
                    buffer = Buffer(self.files.read(path) if old else b"")
                    if not old:
                        self.files.write(path, b"", at_s=self.clock.now())
                except OSError as error:
                    raise OSError(error.errno, error.strerror, target) from error
                written.append((path, buffer))
                write = buffer.write
            if redirect.descriptor == 2:
                ends = replace(ends, write_error=write)
            else:
                ends = replace(ends, write=write)
        return ends, written

    # Expansion --------------------------------------------------------------------------------

    async def _expanded(self, words: tuple[Word, ...], ends: _Ends) -> list[str]:
        """Words as arguments: variables, substitutions, splitting, file names."""
        found: list[str] = []
        for word in words:
            fields = [""]
            is_there = any(getattr(part, "quoted", False) for part in word)
            is_pattern = False
            for part in word:
                if isinstance(part, Variable) and part.name == "@" and part.quoted:
                    values = self.parameters[1:]
                    fields[-1] += values[0] if values else ""
                    fields += values[1:]
                    is_there = bool(values)
                    continue
                text = await self._value(part, ends)
                if isinstance(part, Text) or part.quoted:
                    fields[-1] += text
                    is_pattern |= isinstance(part, Text) and not part.quoted and "*" in text
                    continue
                pieces = text.split()
                if text[:1].isspace() and fields[-1]:
                    fields.append("")
                fields[-1] += pieces[0] if pieces else ""
                fields += pieces[1:]
                if pieces and text[-1:].isspace():
                    fields.append("")
            kept = [one for one in fields if one] if not is_there else fields
            found += [name for one in kept for name in self._matching(one, is_pattern=is_pattern)]
        return found

    def _matching(self, text: str, *, is_pattern: bool) -> list[str]:
        """The files a pattern names in the directory it speaks of, or itself."""
        above, pattern = posixpath.split(text)
        if not is_pattern or "*" not in pattern:
            return [text]
        try:
            names = [name for name, _ in self.files.list(self.path(above or "."))]
        except OSError:
            return [text]
        hidden = pattern.startswith(".")
        found = [n for n in names if fnmatch.fnmatchcase(n, pattern) and (hidden or n[0] != ".")]
        return [posixpath.join(above, name) for name in found] or [text]

    async def _joined(self, word: Word, ends: _Ends) -> str:
        """A word as one argument."""
        return "".join([await self._value(part, ends) for part in word])

    async def _value(self, part: language.Part, ends: _Ends) -> str:
        match part:
            case Text(text=text):
                home = text == "~" or text.startswith("~/")
                if home and not part.quoted:
                    return self.variables.get("HOME", "/root") + text[1:]
                return text
            case Variable():
                return await self._variable(part, ends)
            case Substitution(script=script):
                output = Buffer()
                inner = self.copy()
                try:
                    inside = _Ends(ends.stdin, output.write, ends.write_error)
                    self.code = await inner.carry_out(script, inside)
                except ExitError as error:
                    self.code = error.code
                return (await output.read()).decode(errors="replace").rstrip("\n")

    async def _variable(self, part: Variable, ends: _Ends) -> str:
        text = self._known(part.name)
        if not part.operator:
            return text or ""
        is_set = text is not None and (bool(text) or not part.operator.startswith(":"))
        if part.operator.endswith("+"):
            return await self._joined(part.instead, ends) if is_set else ""
        if is_set:
            return text or ""
        instead = await self._joined(part.instead, ends)
        if part.operator == ":=":
            self.variables[part.name] = instead
        return instead

    def _known(self, name: str) -> str | None:
        if name == "?":
            return str(self.code)
        if name == "$":
            return "1"
        if name == "#":
            return str(len(self.parameters) - 1)
        if name in {"@", "*"}:
            return " ".join(self.parameters[1:])
        if name.isdigit():
            place = int(name)
            return self.parameters[place] if place < len(self.parameters) else None
        return self.variables.get(name)


async def _nowhere(data: bytes) -> None:
    """Where what goes to /dev/null goes."""
