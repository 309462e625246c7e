"""The files of a container: a tree in memory, with volumes mounted into it.

Bounded: a pod keeps `Room.bytes_most` bytes in so many files; more is refused with ENOSPC.
"""

import errno
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

BYTES_MOST: Final = 32 << 20
ENTRIES_MOST: Final = 20_000
_LINKS_MOST: Final = 16
_PATH_MOST: Final = 4_096


@dataclass(slots=True)
class Room:
    """How much a pod keeps."""

    bytes_most: int = BYTES_MOST
    entries_most: int = ENTRIES_MOST
    bytes_kept: int = 0
    entries: int = 0

    def take(self, size: int, *, entries: int = 0) -> None:
        """Take room, or give it back.

        Raises:
            OSError: ENOSPC.
        """
        kept, count = self.bytes_kept + size, self.entries + entries
        if (size > 0 and kept > self.bytes_most) or (entries > 0 and count > self.entries_most):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.bytes_kept, self.entries = kept, count

    def give_back(self, entry: "Entry") -> None:
        """Give back what an entry takes, with all that is in it."""
        for found in _all(entry):
            self.take(-len(found.content) if isinstance(found, File) else 0, entries=-1)


@dataclass(slots=True, eq=False)
class File:
    """A file and its content."""

    content: bytes = b""
    mode: int = 0o644
    at_s: float = 0.0


@dataclass(slots=True, eq=False)
class Link:
    """A symbolic link."""

    target: str
    mode: int = 0o777
    at_s: float = 0.0


@dataclass(slots=True, eq=False)
class Directory:
    """A directory; of a read-only volume nothing can be changed."""

    entries: dict[str, "Entry"] = field(default_factory=dict)
    mode: int = 0o755
    at_s: float = 0.0
    read_only: bool = False

    def put(self, path: str, entry: "Entry") -> None:
        """Build: place an entry at a path below, making the directories above it."""
        *above, name = [part for part in path.split("/") if part]
        here = self
        for part in above:
            there = here.entries.setdefault(
                part, Directory(at_s=self.at_s, read_only=self.read_only)
            )
            assert isinstance(there, Directory), path
            here = there
        here.entries[name] = entry

    @property
    def count(self) -> int:
        """How many entries it is, itself among them."""
        return sum(1 for _ in _all(self))


Entry = File | Link | Directory


class Files:
    """One container's view: its root with what is mounted."""

    def __init__(self, root: Directory, mounts: dict[str, Entry], room: Room) -> None:
        self._root = root
        self._mounts = mounts
        self._room = room
        for path in mounts:
            if posixpath.normpath(path) != "/":
                self._make_way(path)

    def _make_way(self, path: str) -> None:
        """A mount point is listed in the directory above it."""
        here = self._root
        for part in (part for part in path.split("/") if part):
            there = here.entries.setdefault(part, Directory())
            if not isinstance(there, Directory):
                return
            here = there

    def find(self, path: str, *, follow: bool = True) -> Entry:
        """What is at an absolute path.

        Raises:
            OSError: ENOENT, ENOTDIR, ELOOP.
        """
        return self._walk(path, follow=follow)[1]

    def real(self, path: str) -> str:
        """The path without links in it."""
        return self._walk(path, follow=True)[0]

    def _walk(self, path: str, *, follow: bool) -> tuple[str, Entry]:
        if len(path) > _PATH_MOST:
            raise _failure(errno.ENAMETOOLONG)
        left = [part for part in posixpath.normpath(path).split("/") if part]
        left.reverse()
        here, entry, links = "", self._mounts.get("/", self._root), 0
        while left:
            part = left.pop()
            if not isinstance(entry, Directory):
                raise _failure(errno.ENOTDIR)
            there = f"{here}/{part}"
            found = self._mounts.get(there) or entry.entries.get(part)
            if found is None:
                raise _failure(errno.ENOENT)
            if isinstance(found, Link) and (left or follow):
                links += 1
                if links > _LINKS_MOST:
                    raise _failure(errno.ELOOP)
                target = posixpath.normpath(posixpath.join(here or "/", found.target))
                left.extend(one for one in reversed(target.split("/")) if one)
                here, entry = "", self._mounts.get("/", self._root)
                continue
            here, entry = there, found
        return here or "/", entry

    def exists(self, path: str) -> bool:
        """Whether something is there."""
        try:
            self.find(path)
        except OSError:
            return False
        return True

    def is_directory(self, path: str) -> bool:
        """Whether a directory is there."""
        try:
            return isinstance(self.find(path), Directory)
        except OSError:
            return False

    def read(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            OSError: it is not there, or a directory.
        """
        entry = self.find(path)
        if isinstance(entry, Directory):
            raise _failure(errno.EISDIR)
        assert isinstance(entry, File), "links were followed"
        return entry.content

    def list(self, path: str) -> list[tuple[str, Entry]]:
        """The entries of a directory, by name.

        Raises:
            OSError: there is no such directory.
        """
        real, entry = self._walk(path, follow=True)
        if not isinstance(entry, Directory):
            raise _failure(errno.ENOTDIR)
        prefix = real.rstrip("/") + "/"
        return [
            (name, self._mounts.get(prefix + name, found))
            for name, found in sorted(entry.entries.items())
        ]

    def write(self, path: str, content: bytes, *, at_s: float, mode: int = 0o644) -> None:
        """Replace or make a file.

        Raises:
            OSError: ENOENT, EISDIR, EROFS, ENOSPC.
        """
        if self.exists(path):
            path = self.real(path)
        above, name = self._above(path)
        old = self._mounts.get(posixpath.normpath(path)) or above.entries.get(name)
        if isinstance(old, Directory):
            raise _failure(errno.EISDIR)
        if isinstance(old, File):
            self._room.take(len(content) - len(old.content))
            old.content, old.at_s = content, at_s
            return
        self._add(above, name, File(content, mode, at_s), size=len(content))

    def link(self, path: str, target: str, *, at_s: float) -> None:
        """Make a symbolic link.

        Raises:
            OSError: as `write`.
        """
        above, name = self._above(path)
        self._add(above, name, Link(target, at_s=at_s), size=len(target))

    def make_directory(self, path: str, *, at_s: float, mode: int = 0o755) -> None:
        """Make a directory.

        Raises:
            OSError: EEXIST and as `write`.
        """
        above, name = self._above(path)
        if name in above.entries:
            raise _failure(errno.EEXIST)
        self._add(above, name, Directory(mode=mode, at_s=at_s), size=0)

    def make_directories(self, path: str, *, at_s: float) -> None:
        """Make a directory and those above it, as far as they are missing.

        Raises:
            OSError: as `write`.
        """
        path = posixpath.normpath(path)
        if not self.exists(path):
            self.make_directories(posixpath.dirname(path), at_s=at_s)
            self.make_directory(path, at_s=at_s)

    def remove(self, path: str) -> None:
        """Remove what is there, with what is in it.

        Raises:
            OSError: ENOENT, EROFS, EBUSY for a mount.
        """
        above, name = self._above(path)
        entry = above.entries.get(name)
        if entry is None:
            raise _failure(errno.ENOENT)
        path = posixpath.normpath(path)
        if any(mount == path or mount.startswith(path + "/") for mount in self._mounts):
            raise _failure(errno.EBUSY)
        self._room.give_back(entry)
        del above.entries[name]

    def _above(self, path: str) -> tuple[Directory, str]:
        above, name = posixpath.split(posixpath.normpath(path))
        if not name:
            raise _failure(errno.EEXIST)
        entry = self.find(above)
        if not isinstance(entry, Directory):
            raise _failure(errno.ENOTDIR)
        if entry.read_only:
            raise _failure(errno.EROFS)
        return entry, name

    def _add(self, above: Directory, name: str, entry: Entry, *, size: int) -> None:
        self._room.take(size, entries=0 if name in above.entries else 1)
        above.entries[name] = entry


def _all(entry: Entry) -> Iterator[Entry]:
    yield entry
    if isinstance(entry, Directory):
        for one in entry.entries.values():
            yield from _all(one)


def _failure(code: int) -> OSError:
    return OSError(code, os.strerror(code))
