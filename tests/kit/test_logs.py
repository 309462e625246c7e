"""What a line of the log looks like."""

import io
import json

import pytest

from ekslab.kit import logs


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    logs.configure(level=logs.Level.WARNING, json=False)


def test_the_daemon_writes_one_json_object_a_line():
    stream = io.StringIO()
    logs.configure(stream=stream)
    logs.get("store").bind(objects=3).info("opened", path=OSError("gone"))
    line = json.loads(stream.getvalue())
    stamp = line.pop("timestamp")
    assert line == {
        "component": "store",
        "event": "opened",
        "level": "info",
        "objects": 3,
        "path": "gone",
    }
    assert stamp.endswith("Z")


def test_an_exception_brings_its_traceback():
    stream = io.StringIO()
    logs.configure(stream=stream, json=False)
    try:
        raise ValueError("why")
    except ValueError:
        logs.get("store").exception("crashed", key="a")
    text = stream.getvalue()
    assert "store: crashed key=a\nTraceback" in text
    assert text.endswith("ValueError: why\n\n")


def test_what_matters_less_than_the_level_is_left_out():
    stream = io.StringIO()
    logs.configure(stream=stream, level=logs.Level.ERROR)
    logs.get("store").warning("slow")
    assert stream.getvalue() == ""
