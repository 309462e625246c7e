"""`kubectl --as`: what must be allowed for it, and who one is afterwards."""

import pytest

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.requests import Attributes, UserInfo
from ekslab.kube.apiserver.impersonation import acting_as

JANE = UserInfo("jane", ("developers",), "7", {"scopes": ("all",)})


def questions(*headers: tuple[str, str]) -> tuple[UserInfo, list[tuple[str, str, str, str, str]]]:
    asked: list[Attributes] = []
    user = acting_as(JANE, headers, asked.append)
    assert all(a.user is JANE and a.verb == "impersonate" for a in asked)
    return user, [(a.group, a.resource, a.subresource, a.namespace, a.name) for a in asked]


@pytest.mark.parametrize(
    ("headers", "user", "asked"),
    [
        pytest.param(
            [("impersonate-user", "bob")],
            UserInfo("bob", ("system:authenticated",)),
            [("", "users", "", "", "bob")],
            id="a user becomes authenticated",
        ),
        pytest.param(
            [("impersonate-user", "bob"), ("impersonate-group", "a"), ("impersonate-group", "b")],
            UserInfo("bob", ("a", "b", "system:authenticated")),
            [
                ("", "users", "", "", "bob"),
                ("", "groups", "", "", "a"),
                ("", "groups", "", "", "b"),
            ],
            id="each group is asked about",
        ),
        pytest.param(
            [("impersonate-user", "system:serviceaccount:apps:robot")],
            UserInfo(
                "system:serviceaccount:apps:robot",
                ("system:serviceaccounts", "system:serviceaccounts:apps", "system:authenticated"),
            ),
            [("", "serviceaccounts", "", "apps", "robot")],
            id="a service account has its groups",
        ),
        pytest.param(
            [("impersonate-user", "system:anonymous")],
            UserInfo("system:anonymous", ("system:unauthenticated",)),
            [("", "users", "", "", "system:anonymous")],
            id="anonymous stays unauthenticated",
        ),
        pytest.param(
            [
                ("impersonate-user", "bob"),
                ("impersonate-uid", "9"),
                ("impersonate-extra-acme.com%2Fteam", "blue"),
            ],
            UserInfo("bob", ("system:authenticated",), "9", {"acme.com/team": ("blue",)}),
            [
                ("", "users", "", "", "bob"),
                ("authentication.k8s.io", "userextras", "acme.com/team", "", "blue"),
                ("authentication.k8s.io", "uids", "", "", "9"),
            ],
            id="uid and extras are asked about",
        ),
    ],
)
def test_everything_named_must_be_allowed(
    headers: list[tuple[str, str]], user: UserInfo, asked: list[tuple[str, ...]]
) -> None:
    assert questions(*headers) == (user, asked)


def test_groups_without_a_user_are_refused() -> None:
    with pytest.raises(ApiError) as refused:
        questions(("impersonate-group", "system:masters"))
    assert refused.value.code == 400
