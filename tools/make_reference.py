"""Writes the pages of docs/reference that say what code knows: `python tools/make_reference.py`.

A test compares the pages with the code, so that they cannot grow apart. What stands above the mark
in `kubernetes-api.md` is written by hand and kept.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.schema import catalog
from ekslab.kube.apiserver.kinds import strategy_for

PAGE: Final = "docs/reference/types-checked-only.md"
API_PAGE: Final = "docs/reference/kubernetes-api.md"
_ROOT: Final = Path(__file__).parents[1]
_MARK: Final = "<!-- Below this line: made by tools/make_reference.py -->\n"
_HEAD: Final = """\
# Kinds that are checked for types only

Of every other built-in kind the API server has upstream's defaults, validation and rules for
updates. Of these it checks types, unknown fields, names and metadata, and keeps spec and status
apart; it fills in no defaults and refuses no wrong combinations of values. Made by
`tools/make_reference.py`.

| kind | resource | Kubernetes versions |
|---|---|---|
"""
_GROUP_HEAD: Final = """
## {group_version}

| resource | kind | short names | of a namespace | verbs | subresources | versions |
|---|---|---|---|---|---|---|
"""
_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def pages() -> Mapping[str, str]:
    """Every page by its path in the repository, as it should be."""
    return {PAGE: checked_only_page(), API_PAGE: kubernetes_api_page()}


def checked_only_page() -> str:
    """The page of the kinds that have no rules of their own."""
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


def kubernetes_api_page() -> str:
    """The hand-written part of the page, and a table of resources for every group and version."""
    head, mark, _ = (_ROOT / API_PAGE).read_text().partition(_MARK)
    groups: dict[str, dict[str, tuple[ResourceInfo, list[str]]]] = {}
    for version in catalog.SUPPORTED_VERSIONS:
        for info in catalog.load(version).resources.values():
            rows = groups.setdefault(info.api_version, {})
            # The newest version's word on a resource, and all versions that have it.
            served = rows[info.resource.plural][1] if info.resource.plural in rows else []
            rows[info.resource.plural] = (info, [*served, version])
    parts = [head, mark]
    for group_version, rows in sorted(groups.items(), key=lambda item: ("/" in item[0], item[0])):
        parts.append(_GROUP_HEAD.format(group_version=group_version))
        parts += [_row(info, versions) for _, (info, versions) in sorted(rows.items())]
    return "".join(parts)


def _row(info: ResourceInfo, versions: list[str]) -> str:
    everywhere = versions == list(catalog.SUPPORTED_VERSIONS)
    cells = (
        f"`{info.resource.plural}`",
        info.kind,
        ", ".join(f"`{name}`" for name in info.short_names),
        "yes" if info.namespaced else "no",
        "all" if set(info.verbs) == set(_VERBS) else ", ".join(info.verbs),
        ", ".join(f"`{sub.name}`" for sub in info.subresources),
        "all" if everywhere else ", ".join(versions),
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    for path, text in pages().items():
        (_ROOT / path).write_text(text)
        print(f"wrote {path}")
