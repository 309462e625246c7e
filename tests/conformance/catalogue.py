"""The behaviours a conformant Kubernetes shows, and why some are not shown yet.

`catalogue.yaml` says what there is, `not_yet.yaml` what is missing; tests say the rest by their
marks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One entry of the catalogue."""

    id: str
    area: str
    name: str
    since: str
    needs: str
    must: str


@cache
def behaviours() -> Mapping[str, Behaviour]:
    """All of them by id, in the catalogue's order."""
    return {
        test["id"]: Behaviour(area=group["area"], **test)
        for group in _load("catalogue.yaml")
        for test in group["tests"] or ()
    }


@cache
def reasons() -> Mapping[str, str]:
    """Why each behaviour without a test is missing, by id."""
    told = _load("not_yet.yaml")
    by_layer = {layer: one["why"] for one in told for layer in one.get("needs", ())}
    by_id = {ident: one["why"] for one in told for ident in one.get("ids", ())}
    unknown = by_id.keys() - behaviours().keys()
    assert not unknown, f"not_yet.yaml names what the catalogue has not: {sorted(unknown)}"
    layers = {one.id: by_layer[one.needs] for one in behaviours().values() if one.needs in by_layer}
    return layers | by_id


def excused_by_id() -> frozenset[str]:
    """The ids that `not_yet.yaml` names one by one."""
    return frozenset(ident for one in _load("not_yet.yaml") for ident in one.get("ids", ()))


@cache
def _load(name: str) -> Any:
    return yaml.load((_HERE / name).read_text(), Loader=yaml.CSafeLoader)
