"""Every behaviour has a state, and the page says what the tests have shown."""

import pytest

from tests.conformance import page
from tests.conformance.catalogue import behaviours, excused_by_id, reasons
from tests.conformance.conftest import Shown


def test_the_catalogue_has_every_behaviour_once() -> None:
    assert len(behaviours()) == 408
    assert all(one.must for one in behaviours().values())


def test_what_no_test_names_has_a_reason_and_what_one_names_has_none(shown: Shown) -> None:
    if not shown.everything:
        pytest.skip("only some of the conformance tests were asked for")
    silent = behaviours().keys() - shown.named.keys()
    assert not silent - reasons().keys(), "neither tested nor excused in not_yet.yaml"
    assert not excused_by_id() & shown.named.keys(), "tested, and excused in not_yet.yaml"


def test_the_page_says_what_this_run_has_shown(shown: Shown) -> None:
    """The last test of a run (see conftest): writes the page anew where it is out of date."""
    if not shown.everything or shown.passing != shown.named.keys():
        pytest.skip("some of the conformance tests did not run, or did not pass")
    wanted = {
        page.PAGE: page.rendered(shown.passing),
        page.README: page.readme_with(shown.passing),
    }
    stale = [path for path, text in wanted.items() if path.read_text() != text]
    for path in stale:
        path.write_text(wanted[path])
    assert not stale, f"out of date; this run has written them anew: {stale}"
