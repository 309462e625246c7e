"""Programs about files: `ls`, `test`, `mkdir`, `rm`, `cp`, `mv`, `touch`, `ln`, and `tar`."""

import posixpath
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from ekslab.kube.node.simulated.shell.archives import tar
from ekslab.kube.node.simulated.shell.files import Directory, Entry, File, Link
from ekslab.kube.node.simulated.shell.running import Call, Program


def _split(call: Call) -> tuple[set[str], list[str]]:
    """The letters of the options, and the other arguments."""
    letters = {letter for word in call.arguments[1:] if word.startswith("-") for letter in word}
    return letters, [word for word in call.arguments[1:] if not word.startswith("-")]


async def _ls(call: Call) -> int:
    letters, names = _split(call)
    files, shell = call.shell.files, call.shell
    code = 0
    for name in names or ["."]:
        try:
            entry = files.find(shell.path(name), follow="l" not in letters)
            if isinstance(entry, Directory) and "d" not in letters:
                listed = files.list(shell.path(name))
                if "a" in letters:
                    listed = [(".", entry), ("..", entry), *listed]
                elif "A" not in letters:
                    listed = [one for one in listed if not one[0].startswith(".")]
            else:
                listed = [(name, entry)]
        except OSError as error:
            await call.complain(f"ls: {name}: {error.strerror}")
            code = 1
            continue
        if len(names) > 1 and isinstance(entry, Directory):
            await call.print(f"{name}:")
        for found, what in listed:
            await call.print(_long(found, what) if "l" in letters else found)
    return code


def _long(name: str, entry: Entry) -> str:
    kind = {File: stat.S_IFREG, Directory: stat.S_IFDIR, Link: stat.S_IFLNK}[type(entry)]
    size = 4096
    if isinstance(entry, File):
        size = len(entry.content)
    elif isinstance(entry, Link):
        size = len(entry.target)
        name = f"{name} -> {entry.target}"
    at = datetime.fromtimestamp(entry.at_s, UTC).strftime("%b %e %H:%M")
    links = 2 if isinstance(entry, Directory) else 1
    mode = stat.filemode(kind | entry.mode)
    return f"{mode} {links:4} root     root     {size:9} {at} {name}"


async def _test(call: Call) -> int:
    words = call.arguments[1:]
    if call.arguments[0] == "[":
        if words[-1:] != ["]"]:
            await call.complain("sh: missing ]")
            return 2
        words = words[:-1]
    wanted = True
    while words[:1] == ["!"]:
        wanted, words = not wanted, words[1:]
    try:
        return 0 if _holds(call, words) == wanted else 1
    except ValueError:
        await call.complain(f"sh: {' '.join(words)}: unknown operand")
        return 2


def _holds(call: Call, words: list[str]) -> bool:
    """Whether an expression of one, two or three words holds."""
    files, shell = call.shell.files, call.shell
    match words:
        case []:
            return False
        case [text] | ["-n", text]:
            return bool(text)
        case ["-z", text]:
            return not text
        case ["-e" | "-r" | "-w" | "-x", name]:
            return files.exists(shell.path(name))
        case ["-d", name]:
            return files.is_directory(shell.path(name))
        case ["-f", name]:
            path = shell.path(name)
            return files.exists(path) and not files.is_directory(path)
        case ["-s", name]:
            path = shell.path(name)
            return files.exists(path) and (files.is_directory(path) or bool(files.read(path)))
        case [left, "=" | "==", right]:
            return left == right
        case [left, "!=", right]:
            return left != right
        case [left, operator, right]:
            return _compared(int(left), operator, int(right))
        case _:
            raise ValueError(words)


def _compared(left: int, operator: str, right: int) -> bool:
    match operator:
        case "-eq":
            return left == right
        case "-ne":
            return left != right
        case "-lt":
            return left < right
        case "-le":
            return left <= right
        case "-gt":
            return left > right
        case "-ge":
            return left >= right
        case _:
            raise ValueError(operator)


async def _mkdir(call: Call) -> int:
    letters, names = _split(call)
    files, now_s = call.shell.files, call.shell.clock.now()
    for name in names:
        path = call.shell.path(name)
        try:
            if "p" in letters:
                files.make_directories(path, at_s=now_s)
            else:
                files.make_directory(path, at_s=now_s)
        except OSError as error:
            await call.complain(f"mkdir: can't create directory '{name}': {error.strerror}")
            return 1
    return 0


async def _touch(call: Call) -> int:
    _, names = _split(call)
    files, now_s = call.shell.files, call.shell.clock.now()
    for name in names:
        path = call.shell.path(name)
        try:
            if files.exists(path):
                files.find(path).at_s = now_s
            else:
                files.write(path, b"", at_s=now_s)
        except OSError as error:
            await call.complain(f"touch: {name}: {error.strerror}")
            return 1
    return 0


async def _rm(call: Call) -> int:
    letters, names = _split(call)
    files = call.shell.files
    code = 0
    for name in names:
        path = call.shell.path(name)
        try:
            entry = files.find(path, follow=False)
            if isinstance(entry, Directory) and not letters & {"r", "R"}:
                await call.complain(f"rm: '{name}' is a directory")
                code = 1
                continue
            files.remove(path)
        except FileNotFoundError as error:
            if "f" not in letters:
                await call.complain(f"rm: can't remove '{name}': {error.strerror}")
                code = 1
        except OSError as error:
            await call.complain(f"rm: can't remove '{name}': {error.strerror}")
            code = 1
    return code


async def _cp(call: Call) -> int:
    return await _copied(call, is_move=False)


async def _mv(call: Call) -> int:
    return await _copied(call, is_move=True)


async def _copied(call: Call, *, is_move: bool) -> int:
    _, names = _split(call)
    name = call.arguments[0]
    if len(names) != 2:
        await call.complain(f"{name}: two names are needed (simulated by ekslab)")
        return 1
    source, target = (call.shell.path(one) for one in names)
    files, now_s = call.shell.files, call.shell.clock.now()
    if files.is_directory(target):
        target = posixpath.join(target, posixpath.basename(source))
    try:
        files.write(target, files.read(source), at_s=now_s)
        if is_move:
            files.remove(source)
    except OSError as error:
        await call.complain(f"{name}: can't {name} '{names[0]}': {error.strerror}")
        return 1
    return 0


async def _ln(call: Call) -> int:
    _, names = _split(call)
    if len(names) != 2:
        await call.complain("ln: two names are needed (simulated by ekslab)")
        return 1
    call.shell.files.link(call.shell.path(names[1]), names[0], at_s=call.shell.clock.now())
    return 0


FILE_PROGRAMS: Final[Mapping[str, Program]] = {
    "[": _test,
    "cp": _cp,
    "ln": _ln,
    "ls": _ls,
    "mkdir": _mkdir,
    "mv": _mv,
    "rm": _rm,
    "tar": tar,
    "test": _test,
    "touch": _touch,
}
