"""Programs that read text and write text."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from ekslab.kube.node.simulated.shell.running import Call, Program


async def _contents(call: Call, names: list[str]) -> list[tuple[str, bytes]]:
    """The content of each file, or of standard input; complains of what cannot be read."""
    found = []
    for name in names or ["-"]:
        if name == "-":
            found.append(("-", await call.read_all()))
            continue
        try:
            found.append((name, call.shell.files.read(call.shell.path(name))))
        except OSError as error:
            await call.complain(f"{call.arguments[0]}: {name}: {error.strerror}")
    return found


def _options(call: Call, valued: str) -> tuple[dict[str, str], list[str]]:
    """Options (those of `valued` with what follows them) and the other arguments."""
    options: dict[str, str] = {}
    names: list[str] = []
    words = iter(call.arguments[1:])
    for word in words:
        if not word.startswith("-") or word == "-":
            names.append(word)
            continue
        options |= _letters(word[1:], valued, words)
    return options, names


def _letters(letters: str, valued: str, words: Iterator[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    if letters.lstrip("+").isdecimal():
        return {"n": letters}
    for place, letter in enumerate(letters):
        if letter in valued:
            found[letter] = letters[place + 1 :] or next(words, "")
            break
        found[letter] = ""
    return found


async def _cat(call: Call) -> int:
    _, names = _options(call, "")
    code = 0
    for name in names or ["-"]:
        if name == "-":
            while piece := await call.stdin.read():
                await call.write(piece)
            continue
        try:
            await call.write(call.shell.files.read(call.shell.path(name)))
        except IsADirectoryError as error:
            await call.complain(f"cat: read error: {error.strerror}")
            code = 1
        except OSError as error:
            await call.complain(f"cat: can't open '{name}': {error.strerror}")
            code = 1
    return code


async def _head(call: Call) -> int:
    return await _ends(call, is_tail=False)


async def _tail(call: Call) -> int:
    return await _ends(call, is_tail=True)


async def _ends(call: Call, *, is_tail: bool) -> int:
    options, names = _options(call, "nc")
    text = options.get("c") or options.get("n") or "10"
    if not text.lstrip("+-").isdecimal():
        await call.complain(f"{call.arguments[0]}: invalid number '{text}'")
        return 1
    found = await _contents(call, names)
    for _, content in found:
        pieces = (
            [content[i : i + 1] for i in range(len(content))]
            if "c" in options
            else content.splitlines(keepends=True)
        )
        if not is_tail:
            chosen = pieces[: int(text)]
        elif text.startswith("+"):
            chosen = pieces[max(0, int(text) - 1) :]
        else:
            chosen = pieces[-abs(int(text)) :] if int(text) else []
        await call.write(b"".join(chosen))
    return 0 if len(found) == len(names or ["-"]) else 1


async def _wc(call: Call) -> int:
    options, names = _options(call, "")
    found = await _contents(call, names)
    for name, content in found:
        counts = {"l": content.count(b"\n"), "w": len(content.split()), "c": len(content)}
        chosen = [counts[one] for one in "lwc" if one in options or not options]
        shown = [str(one) for one in chosen] + ([name] if name != "-" else [])
        await call.print(" ".join(shown))
    return 0 if len(found) == len(names or ["-"]) else 1


async def _grep(call: Call) -> int:
    options, names = _options(call, "e")
    if "e" not in options and names:
        options["e"] = names.pop(0)
    if "e" not in options:
        await call.complain("grep: no pattern")
        return 2
    text = re.escape(options["e"]) if "F" in options else options["e"]
    try:
        pattern = re.compile(text, re.IGNORECASE if "i" in options else 0)
    except re.error as error:
        await call.complain(f"grep: bad regex '{text}': {error.msg}")
        return 2
    count = 0
    found = await _contents(call, names)
    for name, content in found:
        prefix = f"{name}:" if len(found) > 1 else ""
        for line in content.decode(errors="replace").splitlines():
            if (pattern.search(line) is None) == ("v" in options):
                count += 1
                if not {"q", "c"} & set(options):
                    await call.print(prefix + line)
    if "c" in options:
        await call.print(str(count))
    return 0 if count else 1


async def _sort(call: Call) -> int:
    options, names = _options(call, "k")
    lines = [
        line for _, content in await _contents(call, names)
        for line in content.decode(errors="replace").splitlines()
    ]  # fmt: skip
    chosen = sorted(set(lines) if "u" in options else lines, reverse="r" in options)
    await call.write("".join(f"{line}\n" for line in chosen).encode())
    return 0


async def _base64(call: Call) -> int:
    options, names = _options(call, "w")
    for _, content in await _contents(call, names):
        if "d" in options:
            try:
                await call.write(base64.b64decode(content))
            except ValueError:
                await call.complain("base64: truncated input")
                return 1
        else:
            await call.write(base64.b64encode(content) + b"\n")
    return 0


async def _sha256sum(call: Call) -> int:
    _, names = _options(call, "")
    found = await _contents(call, names)
    for name, content in found:
        await call.print(f"{hashlib.sha256(content).hexdigest()}  {name}")
    return 0 if len(found) == len(names or ["-"]) else 1


async def _tee(call: Call) -> int:
    options, names = _options(call, "")
    content = await call.read_all()
    shell = call.shell
    for name in names:
        path = shell.path(name)
        old = shell.files.read(path) if "a" in options and shell.files.exists(path) else b""
        shell.files.write(path, old + content, at_s=shell.clock.now())
    await call.write(content)
    return 0


async def _seq(call: Call) -> int:
    words = call.arguments[1:]
    if not words or not all(word.lstrip("-").isdecimal() for word in words):
        await call.complain("seq: invalid number")
        return 1
    first, last = (int(words[0]), int(words[-1])) if len(words) > 1 else (1, int(words[0]))
    most = range(first, last + 1)[:100_000]
    await call.write("".join(f"{number}\n" for number in most).encode())
    return 0


TEXT_PROGRAMS: Final[Mapping[str, Program]] = {
    "base64": _base64,
    "cat": _cat,
    "grep": _grep,
    "head": _head,
    "seq": _seq,
    "sha256sum": _sha256sum,
    "sort": _sort,
    "tail": _tail,
    "tee": _tee,
    "wc": _wc,
}
