"""Claims about all kinds of all offered versions, and the page that lists the unknown ones."""

from pathlib import Path

import pytest

from ekslab.kube.api.schema import catalog
from ekslab.kube.apiserver.kinds import deprecation, strategy_for
from tools.make_reference import PAGE, checked_only_page

VERSIONS = catalog.SUPPORTED_VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_every_kind_survives_an_object_with_a_name_only(version: str) -> None:
    known = catalog.load(version)
    for info in known.resources.values():
        strategy = strategy_for(info, known.schema_of(info))
        obj = {"apiVersion": info.api_version, "kind": info.kind, "metadata": {"name": "a"}}
        strategy.default(obj)
        strategy.prepare_create(obj)
        strategy.validate(obj)
        strategy.warnings(obj)
        kept = {strategy.renamed.get(path, path) for path in strategy.selectable}
        if not info.namespaced:
            kept.discard("metadata.namespace")
        assert strategy.fields(obj).keys() >= kept, info.kind


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_kind_is_born_with_stands_in_its_schema(version: str) -> None:
    known = catalog.load(version)
    for info in known.resources.values():
        schema = known.schema_of(info)
        strategy = strategy_for(info, schema)
        obj = {"apiVersion": info.api_version, "kind": info.kind, "metadata": {"name": "a"}}
        strategy.default(obj)
        strategy.prepare_create(obj)
        assert obj.keys() - {"apiVersion", "kind"} <= schema.fields.keys(), info.kind
        for part in ("spec", "status"):
            fields = schema.fields[part].fields if part in obj else {}
            assert obj.get(part, {}).keys() <= fields.keys(), info.kind


def test_the_page_of_kinds_that_are_checked_for_types_only_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / PAGE
    assert page.read_text() == checked_only_page()


def test_requests_for_endpoints_are_answered_with_a_warning() -> None:
    known = catalog.load(catalog.DEFAULT_VERSION)
    assert deprecation(known.by_kind["v1", "Pod"]) == ""
    assert deprecation(known.by_kind["v1", "Endpoints"]) == (
        "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    )
