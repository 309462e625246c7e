import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import KeySet, OctKey

from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Credentials
from ekslab.kube.api.requests import Object, UserInfo
from ekslab.kube.auth.authenticators import AuthenticatorChain
from ekslab.kube.auth.service_accounts import (
    API_AUDIENCE,
    ServiceAccountAuthenticator,
    ServiceAccountTokens,
    TokenPolicy,
)
from ekslab.kube.auth.tokens import SigningKey, TokenError, TokenFormat, load_or_make_key
from tests.fakes.lister import FakeLister, meta, pod, service_account

ISSUER = "https://oidc.eks.us-east-1.amazonaws.com/id/0123456789ABCDEF"
NOW = 1_800_000_000


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey()


UPSTREAM = TokenPolicy()


class World:
    """A cluster with one account, `bot`, and a pod of it on node `n1`."""

    def __init__(self, key: SigningKey, *, policy: TokenPolicy = UPSTREAM) -> None:
        self.now = float(NOW)
        self.lister = FakeLister(
            service_account("bot", "shop"),
            pod("web", "shop", node="n1", serviceAccountName="bot"),
            pod("other", "shop", serviceAccountName="default"),
            {"apiVersion": "v1", "kind": "Node", "metadata": meta("n1")},
            {"apiVersion": "v1", "kind": "Secret", "metadata": meta("legacy", "shop")},
        )
        self.tokens = ServiceAccountTokens(
            TokenFormat(ISSUER, key),
            self.lister,
            ids=Ids(Rng(1)),
            now=lambda: self.now,
            policy=policy,
        )
        self.chain = AuthenticatorChain(
            [ServiceAccountAuthenticator(self.tokens)], now=lambda: self.now
        )

    def request(self, **spec: Any) -> Object:
        self.warnings: list[str] = []
        return self.tokens.request("shop", "bot", {"spec": spec}, warnings=self.warnings)

    def token(self, **spec: Any) -> str:
        token: str = self.request(**spec)["status"]["token"]
        return token

    async def who(self, token: str) -> UserInfo | None:
        return await self.chain.authenticate(Credentials(bearer_token=token))


@pytest.fixture
def world(key: SigningKey) -> World:
    return World(key)


def payload(token: str) -> Any:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def bound(kind: str, name: str, uid: str = "") -> dict[str, str]:
    ref = {"kind": kind, "apiVersion": "v1", "name": name}
    return {**ref, "uid": uid} if uid else ref


def test_a_token_says_what_upstreams_tokens_say(world: World):
    claims = payload(world.token(boundObjectRef=bound("Pod", "web")))
    assert claims.pop("jti").count("-") == 4
    assert claims == {
        "iss": ISSUER,
        "sub": "system:serviceaccount:shop:bot",
        "aud": [API_AUDIENCE],
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 3600,
        "kubernetes.io": {
            "namespace": "shop",
            "serviceaccount": {"name": "bot", "uid": "uid-bot"},
            "pod": {"name": "web", "uid": "uid-web"},
            "node": {"name": "n1", "uid": "uid-n1"},
        },
    }


def test_the_answer_is_a_complete_token_request(world: World):
    answer = world.request(audiences=["sts.amazonaws.com"], expirationSeconds=600)
    token = answer["status"].pop("token")
    assert answer == {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {
            "name": "bot",
            "namespace": "shop",
            "uid": "uid-bot",
            "creationTimestamp": "2027-01-15T08:00:00Z",
        },
        "spec": {"audiences": ["sts.amazonaws.com"], "expirationSeconds": 600},
        "status": {"expirationTimestamp": "2027-01-15T08:10:00Z"},
    }
    assert payload(token)["aud"] == ["sts.amazonaws.com"]


def test_admissions_volume_token_lives_on_but_warns(key: SigningKey):
    world = World(key, policy=TokenPolicy(extended_s=90 * 86_400))
    answer = world.request(expirationSeconds=3607, boundObjectRef=bound("Pod", "web"))
    claims = payload(answer["status"]["token"])
    assert claims["exp"] == NOW + 90 * 86_400
    assert claims["kubernetes.io"]["warnafter"] == NOW + 3607
    assert answer["status"]["expirationTimestamp"] == "2027-01-15T09:00:07Z"


def test_a_life_longer_than_allowed_is_shortened_with_a_warning(key: SigningKey):
    world = World(key, policy=TokenPolicy(most_s=86_400))
    assert payload(world.token(expirationSeconds=100_000))["exp"] == NOW + 86_400
    assert world.warnings == ["requested expiration of 100000 seconds shortened to 86400 seconds"]


@pytest.mark.parametrize(
    ("name", "body", "code", "message"),
    [
        pytest.param("gone", {}, 404, 'serviceaccounts "gone" not found', id="no account"),
        pytest.param(
            "bot",
            {"spec": {"expirationSeconds": 599}},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds:'
            " Invalid value: 599: may not specify a duration less than 10 minutes",
            id="too short",
        ),
        pytest.param(
            "bot",
            {"spec": {"expirationSeconds": 1 << 33}},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds:'
            " Invalid value: 8589934592: may not specify a duration larger than 2^32 seconds",
            id="too long",
        ),
        pytest.param(
            "bot",
            {"metadata": {"name": "tob"}},
            422,
            'TokenRequest.authentication.k8s.io "bot" is invalid: metadata.name: Invalid value:'
            ' "tob": must match the service account name if specified',
            id="another name",
        ),
        pytest.param(
            "bot",
            {"metadata": {"uid": "u"}},
            409,
            'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "bot": the UID in'
            " the token request (u) does not match the UID of the service account (uid-bot)",
            id="another uid",
        ),
        pytest.param(
            "bot",
            {"spec": {"boundObjectRef": bound("Pod", "other")}},
            400,
            'cannot bind token for serviceaccount "bot" to pod running with different'
            " serviceaccount name.",
            id="another account's pod",
        ),
        pytest.param(
            "bot",
            {"spec": {"boundObjectRef": bound("Pod", "gone")}},
            404,
            'pods "gone" not found',
            id="no pod",
        ),
        pytest.param(
            "bot",
            {"spec": {"boundObjectRef": bound("Pod", "web", "old")}},
            409,
            'Operation cannot be fulfilled on Pod "web": the UID in the bound object reference'
            " (old) does not match the UID in record. The object might have been deleted and then"
            " recreated",
            id="an earlier pod",
        ),
        pytest.param(
            "bot",
            {"spec": {"boundObjectRef": {"kind": "Job", "apiVersion": "batch/v1", "name": "j"}}},
            400,
            "cannot bind token to object of type batch/v1, Kind=Job",
            id="another kind",
        ),
    ],
)
def test_bad_token_requests_are_refused_in_upstreams_words(
    world: World, name: str, body: Object, code: int, message: str
):
    with pytest.raises(ApiError) as refused:
        world.tokens.request("shop", name, body, warnings=[])
    assert (refused.value.code, refused.value.message) == (code, message)


async def test_a_token_makes_its_bearer_the_service_account(world: World):
    user = await world.who(world.token(boundObjectRef=bound("Pod", "web")))
    assert user is not None
    assert user.name == "system:serviceaccount:shop:bot"
    assert user.uid == "uid-bot"
    assert user.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:shop",
        "system:authenticated",
    )
    extra = {name.partition("/")[2]: values for name, values in user.extra.items()}
    assert extra.pop("credential-id")[0].startswith("JTI=")
    assert extra == {
        "pod-name": ("web",),
        "pod-uid": ("uid-web",),
        "node-name": ("n1",),
        "node-uid": ("uid-n1",),
    }


def alter_payload(token: str) -> str:
    header, _, signature = token.split(".")
    claims = payload(token)
    claims["sub"] = "system:serviceaccount:kube-system:root"
    claims["kubernetes.io"]["namespace"] = "kube-system"
    raw = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{raw}.{signature}"


def unsigned(token: str) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


def signed_by_public_key(token: str, key: SigningKey) -> str:
    """The classic: HS256 with the public key's bytes as the secret."""
    secret = OctKey.import_key(json.dumps(key.public_jwk()))
    raw = json.dumps(payload(token))
    return jws.serialize_compact({"alg": "HS256"}, raw, secret, algorithms=["HS256"])


def signed_by_another_key(_token: str, _key: SigningKey) -> str:
    return World(SigningKey()).token()


def of_another_issuer(_token: str, key: SigningKey) -> str:
    foreign = World(key)
    foreign.tokens.format.issuer = ISSUER + "0"
    return foreign.token()


async def expect_401(world: World, token: str) -> None:
    with pytest.raises(ApiError) as refused:
        await world.who(token)
    assert (refused.value.code, refused.value.message) == (401, "Unauthorized")


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda token, _key: alter_payload(token), id="altered"),
        pytest.param(lambda token, _key: unsigned(token), id="alg none"),
        pytest.param(signed_by_public_key, id="alg HS256"),
        pytest.param(signed_by_another_key, id="foreign key"),
        pytest.param(of_another_issuer, id="foreign issuer"),
        pytest.param(lambda token, _key: token.rpartition(".")[0] + ".", id="no signature"),
        pytest.param(lambda _token, _key: "a.b.c", id="garbage"),
        pytest.param(lambda token, _key: token + "A" * 20_000, id="too long"),
    ],
)
async def test_nobody_gets_in_with_a_forged_token(
    world: World, key: SigningKey, forge: Callable[[str, SigningKey], str]
):
    await expect_401(world, forge(world.token(), key))


@pytest.mark.parametrize(
    "elapsed_s",
    [pytest.param(3600 + 61, id="expired"), pytest.param(-61, id="from the future")],
)
async def test_a_token_counts_only_in_its_time(world: World, elapsed_s: float):
    token = world.token()
    world.now += elapsed_s
    await expect_401(world, token)


async def test_a_token_for_others_is_not_for_the_api(world: World):
    await expect_401(world, world.token(audiences=["sts.amazonaws.com"]))


def anew(obj: Object, **metadata: str) -> Object:
    obj["metadata"].update(metadata)
    return obj


@pytest.mark.parametrize(
    "happen",
    [
        pytest.param(
            lambda lister: lister.remove("ServiceAccount", "bot", "shop"), id="account deleted"
        ),
        pytest.param(
            lambda lister: lister.put(anew(service_account("bot", "shop"), uid="uid-2")),
            id="account made anew",
        ),
        pytest.param(lambda lister: lister.remove("Pod", "web", "shop"), id="pod deleted"),
        pytest.param(
            lambda lister: lister.put(anew(pod("web", "shop"), uid="uid-2")), id="pod made anew"
        ),
        pytest.param(
            lambda lister: lister.put(
                anew(pod("web", "shop"), deletionTimestamp="2027-01-15T07:58:59Z")
            ),
            id="pod terminating for a minute",
        ),
    ],
)
async def test_a_token_dies_with_what_it_is_bound_to(
    world: World, happen: Callable[[FakeLister], object]
):
    token = world.token(boundObjectRef=bound("Pod", "web"))
    happen(world.lister)
    await expect_401(world, token)


@pytest.mark.parametrize(("kind", "name"), [("Secret", "legacy"), ("Node", "n1")])
async def test_a_token_can_be_bound_to_other_kinds(world: World, kind: str, name: str):
    token = world.token(boundObjectRef=bound(kind, name))
    assert payload(token)["kubernetes.io"][kind.lower()] == {"name": name, "uid": f"uid-{name}"}
    world.lister.remove(kind, name, "shop" if kind == "Secret" else "")
    await expect_401(world, token)


async def test_without_credentials_nobody_is_nobody(world: World):
    assert await world.chain.authenticate(Credentials()) is None


async def test_a_believed_token_is_remembered_for_ten_seconds(world: World):
    token = world.token()
    first = await world.who(token)
    world.lister.remove("ServiceAccount", "bot", "shop")
    world.now += 9
    assert await world.who(token) is first
    world.now += 2
    with pytest.raises(ApiError):
        await world.who(token)


def test_a_review_may_ask_for_other_audiences(world: World):
    token = world.token(audiences=["sts.amazonaws.com", "x"])
    verified = world.tokens.verify(token, ["sts.amazonaws.com", "y"])
    assert verified.audiences == ("sts.amazonaws.com",)
    with pytest.raises(TokenError):
        world.tokens.verify(token, ["y"])


def test_foreigners_verify_the_token_by_the_published_keys(world: World):
    keys = KeySet.import_key_set(world.tokens.format.jwks())
    signed = jws.deserialize_compact(world.token(), keys, algorithms=["RS256"])
    assert json.loads(signed.payload)["iss"] == ISSUER


def test_the_discovery_document_is_what_irsa_expects(world: World):
    assert world.tokens.format.openid_configuration(f"{ISSUER}/keys") == {
        "issuer": ISSUER,
        "jwks_uri": f"{ISSUER}/keys",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def test_the_signing_key_outlives_a_restart(tmp_path):
    first = load_or_make_key(tmp_path / "sa.key")
    assert load_or_make_key(tmp_path / "sa.key").id == first.id
    assert (tmp_path / "sa.key").stat().st_mode & 0o777 == 0o600
