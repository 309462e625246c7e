"""Bodies that a real kubectl sent, read and written again: byte for byte what Go writes."""

import json
from pathlib import Path

import pytest

from ekslab.kube.api.protobuf.envelope import decode, encode

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())["requests"]


@pytest.mark.parametrize("command", RECORDED)
def test_what_kubectl_sends_is_understood_and_written_alike(command):
    body, obj = bytes.fromhex(RECORDED[command]["body"]), RECORDED[command]["object"]
    assert decode(body) == obj
    assert encode(obj) == body
