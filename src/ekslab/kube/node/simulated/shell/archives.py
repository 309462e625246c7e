"""`tar`, as `kubectl cp` calls it: `tar cf - path`, `tar -xmf - -C directory`."""

import asyncio
import io
import posixpath
import tarfile

from ekslab.kube.node.simulated.shell.files import Directory, Entry, File, Files, Link
from ekslab.kube.node.simulated.shell.running import Call


async def tar(call: Call) -> int:
    """Write an archive to standard output, or take one from standard input."""
    words = call.arguments[1:]
    letters, names, directory = "", [], call.shell.directory
    if words and not words[0].startswith("-"):
        words[0] = "-" + words[0]
    rest = iter(words)
    for word in rest:
        if word.startswith("--"):
            continue
        if not word.startswith("-") or word == "-":
            names.append(word)
            continue
        letters += word[1:]
        if "C" in word:
            directory = call.shell.path(next(rest, "."))
        if "f" in word and next(rest, "-") != "-":
            await call.complain("tar: only standard input and output (simulated by ekslab)")
            return 1
    if "x" in letters or "t" in letters:
        return await _extract(call, directory, only_list="t" in letters)
    if "c" in letters and names:
        return await _create(call, directory, names)
    await call.complain("tar: nothing to do (simulated by ekslab)")
    return 1


async def _create(call: Call, directory: str, names: list[str]) -> int:
    files = call.shell.files
    output = io.BytesIO()
    code = 0
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name in names:
            path = posixpath.normpath(posixpath.join(directory, name))
            try:
                entry = files.find(path, follow=False)
            except OSError as error:
                await call.complain(f"tar: {name}: {error.strerror}")
                code = 1
                continue
            if name.startswith("/"):
                await call.complain("tar: removing leading '/' from member names")
            _add(archive, files, path, name.strip("/") or ".", entry)
            await asyncio.sleep(0)
    await call.write(output.getvalue())
    return code


def _add(archive: tarfile.TarFile, files: Files, path: str, name: str, entry: Entry) -> None:
    member = tarfile.TarInfo(name)
    member.mode, member.mtime = entry.mode, int(entry.at_s)
    member.uname = member.gname = "root"
    if isinstance(entry, File):
        member.size = len(entry.content)
        archive.addfile(member, io.BytesIO(entry.content))
        return
    member.type = tarfile.DIRTYPE
    if isinstance(entry, Link):
        member.type, member.linkname = tarfile.SYMTYPE, entry.target
    archive.addfile(member)
    if isinstance(entry, Directory):
        for below, found in files.list(path):
            _add(archive, files, posixpath.join(path, below), f"{name}/{below}", found)


async def _extract(call: Call, directory: str, *, only_list: bool) -> int:
    content = await call.read_all()
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:*") as archive:
            for member in archive:
                if only_list:
                    await call.print(member.name)
                else:
                    _put(call, directory, archive, member)
                await asyncio.sleep(0)
    except tarfile.TarError:
        await call.complain("tar: short read")
        return 1
    return 0


def _put(call: Call, directory: str, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    """Place one member; none leaves the directory it is unpacked in."""
    files, now_s = call.shell.files, call.shell.clock.now()
    inside = posixpath.normpath("/" + member.name).strip("/")
    path = posixpath.join(directory, inside)
    if not inside:
        return
    if member.isdir():
        files.make_directories(path, at_s=now_s)
        return
    files.make_directories(posixpath.dirname(path), at_s=now_s)
    if member.issym():
        files.link(path, member.linkname, at_s=now_s)
    elif member.isfile():
        source = archive.extractfile(member)
        assert source is not None, "it is a file"
        files.write(path, source.read(), at_s=now_s, mode=member.mode & 0o777)
