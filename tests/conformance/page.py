"""The page and the README line that say which behaviours are shown."""

import re
from collections.abc import Collection
from pathlib import Path

from tests.conformance.catalogue import behaviours, reasons

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs/reference/conformance.md"
README = _ROOT / "README.md"
_LINE = re.compile(r"(<!-- conformance -->\n).*?(\n<!-- /conformance -->)", re.DOTALL)
_HEAD = """\
# Conformance

The behaviours that upstream's conformance tests check, and whether ours is seen to have them:
{count} of {total} are. *Passes* means that every test that names the behaviour passed; what each
must show is in `tests/conformance/catalogue.yaml`, the tests are beside it. Written by the run of
those tests (`./dev test tests/conformance`).

| area | passes | of |
|---|--:|--:|
"""
_AREA_HEAD = """
## {area}

| id | behaviour | since | needs | state |
|---|---|---|---|---|
"""


def rendered(passing: Collection[str]) -> str:
    """The page, given the ids that pass."""
    everything = behaviours().values()
    areas = list(dict.fromkeys(one.area for one in everything))
    parts = [_HEAD.format(count=len(passing), total=len(everything))]
    for area in areas:
        of_area = [one.id for one in everything if one.area == area]
        passed = sum(ident in passing for ident in of_area)
        parts.append(f"| [{area}](#{area}) | {passed} | {len(of_area)} |\n")
    for area in areas:
        parts.append(
            f"\n## {area}\n\n| id | behaviour | since | needs | state |\n|---|---|---|---|---|\n"
        )
        for one in everything:
            if one.area == area:
                state = "passes" if one.id in passing else f"not yet: {reasons()[one.id]}"
                parts.append(f"| `{one.id}` | {one.name} | {one.since} | {one.needs} | {state} |\n")
    return "".join(parts)


def readme_with(passing: Collection[str]) -> str:
    """The README with its line about conformance brought up to date."""
    line = (
        f"{len(passing)} of Kubernetes' {len(behaviours())} conformance behaviours are tested and"
        " pass: [which](docs/reference/conformance.md)."
    )
    return _LINE.sub(rf"\g<1>{line}\g<2>", README.read_text())
