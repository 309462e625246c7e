"""What can be called in a simulated container, by name. The words are those of busybox."""

import os
import posixpath
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from ekslab.kube.node.simulated.shell.file_programs import FILE_PROGRAMS
from ekslab.kube.node.simulated.shell.interpreters import sh
from ekslab.kube.node.simulated.shell.running import Call, ExitError, Program
from ekslab.kube.node.simulated.shell.text_programs import TEXT_PROGRAMS
from ekslab.kube.node.timing import parse_duration

NOT_FOUND: Final = 127
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "a": "\a", "b": "\b", "e": "\x1b"}


async def _echo(call: Call) -> int:
    words = call.arguments[1:]
    end, escapes = "\n", False
    while words and words[0] in {"-n", "-e", "-ne", "-en"}:
        option = words.pop(0)
        end = "" if "n" in option else end
        escapes |= "e" in option
    text = " ".join(words)
    await call.write(((_unescaped(text) if escapes else text) + end).encode())
    return 0


def _unescaped(text: str) -> str:
    pieces = text.split("\\")
    found = [pieces[0]]
    skip = False
    for piece in pieces[1:]:
        if skip:
            skip = False
            found.append(piece)
        elif piece == "":
            found.append("\\")
            skip = True
        else:
            found.append(_ESCAPES.get(piece[0], "\\" + piece[0]) + piece[1:])
    return "".join(found)


async def _printf(call: Call) -> int:
    if len(call.arguments) < 2:
        await call.complain("printf: usage: printf FORMAT [ARG]...")
        return 1
    form, values = _unescaped(call.arguments[1]), call.arguments[2:]
    text = form.replace("%d", "%s").replace("%i", "%s")
    count = text.replace("%%", "").count("%s")
    rounds = [values[i : i + count] for i in range(0, len(values), count)] if count else []
    for given in rounds or [[]]:
        line = text
        for value in [*given, *[""] * (count - len(given))]:
            line = line.replace("%s", value, 1)
        await call.write(line.replace("%%", "%").encode())
    return 0


async def _env(call: Call) -> int:
    if len(call.arguments) > 1 and "=" not in call.arguments[1]:
        return await call.shell.execute(
            call.arguments[1:], call.stdin, call.write, call.write_error
        )
    lines = [f"{name}={text}\n" for name, text in call.shell.environment().items()]
    await call.write("".join(lines).encode())
    return 0


async def _printenv(call: Call) -> int:
    if len(call.arguments) == 1:
        return await _env(call)
    known = call.shell.environment()
    for name in call.arguments[1:]:
        if name not in known:
            return 1
        await call.print(known[name])
    return 0


async def _pwd(call: Call) -> int:
    await call.print(call.shell.directory)
    return 0


async def _cd(call: Call) -> int:
    shell = call.shell
    name = call.arguments[1] if len(call.arguments) > 1 else shell.variables.get("HOME", "/")
    path = shell.path(name)
    if not shell.files.is_directory(path):
        await call.complain(f"sh: cd: can't cd to {name}: No such file or directory")
        return 2
    shell.directory = path
    shell.variables["PWD"] = path
    return 0


async def _hostname(call: Call) -> int:
    await call.print(call.shell.variables.get("HOSTNAME", "localhost"))
    return 0


async def _date(call: Call) -> int:
    now_s = call.shell.clock.now()
    now = datetime.fromtimestamp(now_s, UTC)
    form = next((word[1:] for word in call.arguments[1:] if word.startswith("+")), "")
    if form:
        await call.print(now.strftime(form.replace("%s", str(int(now_s)))))
    else:
        await call.print(now.strftime("%a %b %e %H:%M:%S UTC %Y"))
    return 0


async def _sleep(call: Call) -> int:
    if len(call.arguments) < 2:
        await call.complain("sleep: missing operand")
        return 1
    for word in call.arguments[1:]:
        try:
            delay_s = float(word) if word[-1:].isdigit() else parse_duration(word)
        except ValueError:
            await call.complain(f"sleep: invalid number '{word}'")
            return 1
        await call.shell.clock.sleep(max(0.0, delay_s))
    return 0


async def _true(call: Call) -> int:
    del call
    return 0


async def _false(call: Call) -> int:
    del call
    return 1


async def _exit(call: Call) -> int:
    word = call.arguments[1] if len(call.arguments) > 1 else str(call.shell.code)
    raise ExitError(int(word) % 256 if word.isdecimal() else 2)


async def _export(call: Call) -> int:
    for word in call.arguments[1:]:
        name, sign, text = word.partition("=")
        if sign:
            call.shell.variables[name] = text
        call.shell.exported.add(name)
    return 0


async def _unset(call: Call) -> int:
    for name in call.arguments[1:]:
        call.shell.variables.pop(name, None)
        call.shell.exported.discard(name)
    return 0


async def unknown(call: Call) -> int:
    """The answer to everything else."""
    name = call.arguments[0]
    await call.complain(f"sh: {name}: not found")
    await call.complain(
        "simulated by ekslab: no program runs in this container; a small shell answers"
        " (`help` lists what it knows)"
    )
    return NOT_FOUND


async def _help(call: Call) -> int:
    await call.print("simulated by ekslab: no program runs in this container.")
    await call.print("A small shell answers, and knows these:")
    await call.print(" ".join(sorted(call.shell.programs)))
    return 0


async def _which(call: Call) -> int:
    code = 0
    for name in call.arguments[1:]:
        if posixpath.basename(name) in call.shell.programs:
            await call.print(f"/bin/{posixpath.basename(name)}")
        else:
            code = 1
    return code


async def _whoami(call: Call) -> int:
    await call.print("root" if call.shell.user == 0 else f"{call.shell.user}")
    return 0


async def _id(call: Call) -> int:
    user, group = call.shell.user, call.shell.group
    if "-u" in call.arguments[1:]:
        await call.print(str(user))
    elif "-g" in call.arguments[1:]:
        await call.print(str(group))
    else:
        names = ["(root)" if one == 0 else "" for one in (user, group)]
        await call.print(f"uid={user}{names[0]} gid={group}{names[1]} groups={group}{names[1]}")
    return 0


async def _ps(call: Call) -> int:
    await call.print("PID   USER     TIME  COMMAND")
    await call.print("    1 root      0:00 simulated by ekslab: no program runs here")
    return 0


async def _uname(call: Call) -> int:
    host = call.shell.variables.get("HOSTNAME", "localhost")
    facts = {"s": "Linux", "n": host, "r": "6.1.0-ekslab", "m": os.uname().machine}
    asked = "".join(call.arguments[1:]).replace("-", "") or "s"
    chosen = "snrm" if "a" in asked else asked
    await call.print(" ".join(facts[one] for one in chosen if one in facts))
    return 0


PROGRAMS: Final[Mapping[str, Program]] = {
    **FILE_PROGRAMS,
    **TEXT_PROGRAMS,
    ":": _true,
    "ash": sh,
    "bash": sh,
    "id": _id,
    "whoami": _whoami,
    "ps": _ps,
    "cd": _cd,
    "date": _date,
    "echo": _echo,
    "env": _env,
    "exit": _exit,
    "export": _export,
    "false": _false,
    "help": _help,
    "hostname": _hostname,
    "printenv": _printenv,
    "printf": _printf,
    "pwd": _pwd,
    "sh": sh,
    "sleep": _sleep,
    "true": _true,
    "uname": _uname,
    "unset": _unset,
    "which": _which,
}
