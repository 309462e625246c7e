"""Metadata as large as a body may be, which must cost no more than the body does."""

from ekslab.kube.api.names import is_dns1123_subdomain
from ekslab.kube.apiserver.kinds.object_meta import validate_meta
from ekslab.kube.controllers.garbage_collector.plan import blocked_owners, blocks


def test_many_controllers_are_refused_without_naming_all_of_them_each_time():
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}
    meta = {"name": "x", "namespace": "default", "ownerReferences": [owner] * 1_000}
    causes = validate_meta(meta, namespaced=True, rule=is_dns1123_subdomain)
    assert len(causes) == 10
    assert all(cause.message.endswith("references for p and p") for cause in causes)


def test_blocked_owners_are_those_that_the_object_says_it_blocks():
    owners = [{"uid": "a", "blockOwnerDeletion": True}, {"uid": "b"}]
    obj = {"metadata": {"ownerReferences": owners}}
    assert blocked_owners(obj) == {"a"}
    assert blocks(obj, "a")
    assert not blocks(obj, "b")
    assert not blocked_owners({"metadata": {}})
