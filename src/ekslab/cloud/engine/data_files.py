"""How botocore's and moto's own data files are read.

botocore makes ordered dicts of its models with a hook in Python, from the time when dicts had no
order, and every session reads its own: moto has five read EC2's (1.3 s). moto also reads which
instance types each region of AWS offers (100 files). Here a model is parsed once and shared, and a
region's offers are read when somebody asks.
"""

import functools
import gzip
import json
import os
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

_OFFERINGS = "/instance_type_offerings/"
_MODELS_KEPT = 4  # those that several sessions read one after the other: EC2's, the endpoints


def install() -> None:
    """Read them fast, and offerings late. Before the first import of moto's EC2. Idempotent."""
    from botocore import loaders
    from moto.utilities import utils

    files: Any = loaders.JSONFileLoader
    files._load_file = _load_model  # noqa: SLF001 - botocore's own hook
    vars(utils)["load_resource"] = _load_resource
    from moto.ec2.models import instance_types

    offered = instance_types.INSTANCE_TYPE_OFFERINGS
    for kind in offered:
        offered[kind] = _Offerings(instance_types.root / instance_types.offerings_path / kind)


def _load_model(_: Any, path: str, open_it: Any) -> Any:
    """See `botocore.loaders.JSONFileLoader._load_file`."""
    if not os.path.isfile(path):  # noqa: PTH113 - botocore asks for hundreds
        return None
    return _model(path, open_it)


@functools.lru_cache(_MODELS_KEPT)
def _model(path: str, open_it: Any) -> Any:
    with open_it(path, "rb") as file:
        return _parse(file.read())


def _load_resource(package: str, resource: str) -> Any:
    """See `moto.utilities.utils.load_resource`."""
    if _OFFERINGS in resource:
        return []  # `_Offerings` takes its place
    if not resource.endswith(".gz"):
        try:
            return _load_resource(package, f"{resource}.gz")
        except FileNotFoundError:
            return _parse(pkgutil.get_data(package, resource) or b"")
    return _parse(gzip.decompress(pkgutil.get_data(package, resource) or b""))


def _parse(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)  # what orjson is too strict for


class _Offerings(Mapping[str, list[dict[str, Any]]]):
    """What each region offers, of one type of location."""

    def __init__(self, folder: Path) -> None:
        self._location_type = folder.name
        self._files = {path.name.partition(".")[0]: path for path in folder.iterdir()}
        self._read: dict[str, list[dict[str, Any]]] = {}

    def __getitem__(self, region: str) -> list[dict[str, Any]]:
        if region not in self._read:
            path = self._files[region]
            data = path.read_bytes()
            rows = _parse(gzip.decompress(data) if path.suffix == ".gz" else data)
            self._read[region] = [{**row, "LocationType": self._location_type} for row in rows]
        return self._read[region]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
