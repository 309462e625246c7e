"""From a caller to a Kubernetes user: access entries, aws-auth, templates."""

import pytest

from ekslab.bridge.identity import arns, config_map, mapping
from ekslab.bridge.identity.caller import Caller, read
from ekslab.bridge.identity.token import TokenError

ACCOUNT = "123456789012"


def caller(
    arn: str = f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice@example.com",
    user_id: str = "AROA1:alice@example.com",
) -> Caller:
    result = {"Account": ACCOUNT, "Arn": arn, "UserId": user_id}
    answer = {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result}}
    return read(answer, access_key_id="ASIA1")


def user(name: str = "alice") -> Caller:
    return caller(f"arn:aws:iam::{ACCOUNT}:user/{name}", "AIDA1")


def no_instances(_: str) -> None:
    return None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("arn:aws:sts::1:assumed-role/R/S", "arn:aws:iam::1:role/R", id="role session"),
        pytest.param(
            "arn:aws:sts::1:assumed-role/a/b/R/S", "arn:aws:iam::1:role/a/b/R", id="with path"
        ),
        pytest.param("arn:aws:iam::1:user/x", "arn:aws:iam::1:user/x", id="user"),
        pytest.param(
            "arn:aws:sts::1:federated-user/x", "arn:aws:sts::1:federated-user/x", id="federated"
        ),
    ],
)
def test_a_session_stands_for_its_role(given: str, expected: str) -> None:
    assert arns.canonical(given) == expected


@pytest.mark.parametrize("given", ["", "arn:xx:iam::1:user/x", "arn:aws:s3:::bucket", "root"])
def test_other_arns_are_no_principals(given: str) -> None:
    with pytest.raises(arns.ArnError):
        arns.canonical(given)


def test_a_malformed_session_id_is_refused() -> None:
    with pytest.raises(TokenError, match="malformed UserID"):
        caller(user_id="AROA1")


def test_an_access_entry_names_groups_and_a_default_username() -> None:
    entry = {
        "principalArn": f"arn:aws:iam::{ACCOUNT}:role/team/Admin",
        "kubernetesGroups": ["devs"],
        "type": "STANDARD",
    }
    mapped = mapping.from_access_entries(caller(), [entry])
    assert mapped is not None
    found = mapping.render(mapped, caller(), no_instances)
    assert found.name == f"arn:aws:sts::{ACCOUNT}:assumed-role/Admin/alice-example.com"
    assert found.groups == ("devs",)
    assert found.extra["arn"] == (caller().arn,)
    assert found.uid == f"aws-iam-authenticator:{ACCOUNT}:AROA1"


def test_an_entry_of_a_role_that_was_made_anew_is_dead() -> None:
    entry = {"principalArn": f"arn:aws:iam::{ACCOUNT}:role/Admin", "principalId": "AROA0"}
    assert mapping.from_access_entries(caller(), [entry]) is None


def test_a_node_is_named_after_its_instance() -> None:
    node = caller(
        f"arn:aws:sts::{ACCOUNT}:assumed-role/node/i-0123456789abcdef0", "AROA2:i-0123456789abcdef0"
    )
    entry = {"principalArn": f"arn:aws:iam::{ACCOUNT}:role/node", "type": "EC2_LINUX"}
    mapped = mapping.from_access_entries(node, [entry])
    assert mapped is not None
    found = mapping.render(mapped, node, lambda _: "ip-10-0-1-4.ec2.internal")
    assert found.name == "system:node:ip-10-0-1-4.ec2.internal"
    assert found.groups == ("system:bootstrappers", "system:nodes")


def test_somebody_who_is_no_instance_does_not_become_a_node() -> None:
    entry = {"principalArn": f"arn:aws:iam::{ACCOUNT}:role/Admin", "type": "EC2_LINUX"}
    mapped = mapping.from_access_entries(caller(), [entry])
    assert mapped is not None
    with pytest.raises(mapping.MappingError, match="no instance id"):
        mapping.render(mapped, caller(), lambda _: "ip-10-0-1-4.ec2.internal")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            {"mapRoles": f"- rolearn: arn:aws:iam::{ACCOUNT}:role/admin\n  username: a\n"},
            ("a", ()),
            id="role, in another case",
        ),
        pytest.param(
            {
                "mapRoles": f"- roleARN: arn:aws:iam::{ACCOUNT}:role/Admin\n"
                "  username: '{{SessionName}}'\n  groups: [x, y]\n"
            },
            ("alice-example.com", ("x", "y")),
            id="template and groups",
        ),
        pytest.param(
            {"mapAccounts": f"- '{ACCOUNT}'"},
            (f"arn:aws:iam::{ACCOUNT}:role/Admin", ()),
            id="whole account",
        ),
        pytest.param({"mapRoles": "``", "mapUsers": '""'}, None, id="empty values"),
        pytest.param({"mapRoles": "{not yaml"}, None, id="unreadable"),
        pytest.param({"mapRoles": "[" * 100_000}, None, id="deep"),
        pytest.param(
            {"mapRoles": f"- rolearn: arn:aws:iam::{ACCOUNT}:role/team/Admin\n  username: a\n"},
            None,
            id="role with path never matches",
        ),
    ],
)
def test_aws_auth_maps_callers(
    data: dict[str, str], expected: tuple[str, tuple[str, ...]] | None
) -> None:
    mapped = mapping.from_config_map(caller(), data)
    if expected is None:
        assert mapped is None
        return
    assert mapped is not None
    found = mapping.render(mapped, caller(), no_instances)
    assert (found.name, found.groups) == expected


def test_the_line_of_a_node_role_is_written_once() -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/path/node"
    first = config_map.with_node_role(None, role)
    assert config_map.with_node_role(first, role) is first
    node = caller(
        f"arn:aws:sts::{ACCOUNT}:assumed-role/node/i-0123456789abcdef0", "AROA2:i-0123456789abcdef0"
    )
    mapped = mapping.from_config_map(node, first["data"])
    assert mapped is not None
    assert mapped.groups == ("system:bootstrappers", "system:nodes")
    kept = {**first, "data": {"mapRoles": "- {rolearn: 'arn:aws:iam::1:role/x', username: x}"}}
    assert "role/x" in config_map.with_node_role(kept, role)["data"]["mapRoles"]
