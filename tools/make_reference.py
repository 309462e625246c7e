"""Writes the pages of docs/reference that say what code knows: `python tools/make_reference.py`.

A test compares the pages with the code, so that they cannot grow apart.
"""

from pathlib import Path
from typing import Final

from ekslab.kube.api.schema import catalog
from ekslab.kube.apiserver.kinds import strategy_for

PAGE: Final = "docs/reference/types-checked-only.md"
_HEAD: Final = """\
# Kinds that are checked for types only

Of every other built-in kind the API server has upstream's defaults, validation and rules for
updates. Of these it checks types, unknown fields, names and metadata, and keeps spec and status
apart; it fills in no defaults and refuses no wrong combinations of values. Made by
`tools/make_reference.py`.

| kind | resource | Kubernetes versions |
|---|---|---|
"""


def checked_only_page() -> str:
    """The page as it should be."""
    versions: dict[tuple[str, str], list[str]] = {}
    for version in catalog.SUPPORTED_VERSIONS:
        known = catalog.load(version)
        for info in known.resources.values():
            stored = "list" in info.verbs and "create" in info.verbs
            if stored and strategy_for(info, known.schema_of(info)).checked_only:
                versions.setdefault((info.kind, info.resource.qualified), []).append(version)
    lines = [
        f"| {kind} | `{resource}` | {', '.join(served)} |\n"
        for (kind, resource), served in sorted(versions.items())
    ]
    return _HEAD + "".join(lines)


if __name__ == "__main__":
    page = Path(__file__).parents[1] / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(checked_only_page())
    print(f"wrote {page}")
