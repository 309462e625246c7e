import asyncio
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from ekslab.kit.clock import WallClock
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Credentials
from ekslab.kube.auth import pki
from ekslab.kube.auth.authenticators import CertificateAuthenticator

NOW = 1_800_000_000.0
DAY_S = 86_400
NAMES = (*pki.API_SERVER_NAMES, "api.example.test")
ADDRESSES = pki.api_server_addresses("172.20.0.0/16")


def der(pair: pki.KeyPair) -> bytes:
    certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
    return certificate.public_bytes(pki.serialization.Encoding.DER)


def authenticator(authority: pki.Authority, now: float = NOW) -> CertificateAuthenticator:
    return CertificateAuthenticator(authority.certificate, now=lambda: now)


def test_the_service_address_is_the_first_of_the_service_network():
    assert ADDRESSES == ("127.0.0.1", "::1", "172.20.0.1")


def test_a_serving_certificate_answers_by_all_its_names():
    serving = pki.new_authority("kubernetes", now=NOW).issue_serving(NAMES, ADDRESSES, now=NOW)
    assert pki.covers_names(serving.certificate_pem, NAMES, ADDRESSES)
    assert not pki.covers_names(serving.certificate_pem, ["other.test"], [])
    assert not pki.covers_names(serving.certificate_pem, [], ["10.0.0.1"])


def test_lifetimes_are_ten_years_and_one_year_backdated_by_five_minutes():
    authority = pki.new_authority("kubernetes", now=NOW)
    serving = authority.issue_serving(NAMES, ADDRESSES, now=NOW)
    leaf = x509.load_pem_x509_certificate(serving.certificate_pem)
    assert authority.certificate.not_valid_after_utc.timestamp() == NOW + 3650 * DAY_S
    assert leaf.not_valid_before_utc.timestamp() == NOW - 300
    assert leaf.not_valid_after_utc.timestamp() == NOW + 365 * DAY_S


@pytest.mark.parametrize(
    ("days", "renew"),
    [
        pytest.param(0, False, id="new"),
        pytest.param(290, False, id="before 80 percent"),
        pytest.param(293, True, id="after 80 percent"),
        pytest.param(400, True, id="expired"),
    ],
)
def test_a_certificate_is_renewed_at_80_percent_of_its_life(*, days: int, renew: bool):
    serving = pki.new_authority("kubernetes", now=NOW).issue_serving(NAMES, ADDRESSES, now=NOW)
    assert pki.needs_renewal(serving.certificate_pem, NOW + days * DAY_S) is renew


def test_garbage_needs_renewal():
    assert pki.needs_renewal(b"garbage", NOW)


def test_keys_on_disk_are_their_owners_alone_and_come_back(tmp_path: Path):
    authority = pki.new_authority("kubernetes", now=NOW)
    authority.save(tmp_path / "ca.crt", tmp_path / "ca.key")
    loaded = pki.load_authority(tmp_path / "ca.crt", tmp_path / "ca.key")
    assert loaded.certificate_pem == authority.certificate_pem
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600


async def test_a_client_certificate_names_user_and_groups():
    authority = pki.new_authority("kubernetes", now=NOW)
    client = authority.issue_client("system:node:ip-1", ["system:nodes"], now=NOW)
    user = await authenticator(authority).authenticate(Credentials(certificate_der=der(client)))
    assert user is not None
    assert (user.name, user.groups) == ("system:node:ip-1", ("system:nodes",))
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


async def test_without_a_certificate_it_has_no_opinion():
    authority = pki.new_authority("kubernetes", now=NOW)
    assert await authenticator(authority).authenticate(Credentials()) is None


@pytest.mark.parametrize("case", ["expired", "not yet", "foreign authority", "serving", "garbage"])
async def test_a_bad_certificate_is_401(case: str):
    authority = pki.new_authority("kubernetes", now=NOW)
    foreign = pki.new_authority("kubernetes", now=NOW)
    now = {"expired": NOW + 366 * DAY_S, "not yet": NOW - DAY_S}.get(case, NOW)
    issuer = foreign if case == "foreign authority" else authority
    pair = issuer.issue_client("jane", now=NOW)
    if case == "serving":
        pair = authority.issue_serving(["jane"], [], now=NOW)
    raw = b"garbage" if case == "garbage" else der(pair)
    with pytest.raises(ApiError) as refused:
        await authenticator(authority, now).authenticate(Credentials(certificate_der=raw))
    assert (refused.value.code, refused.value.message) == (401, "Unauthorized")


async def test_tls_over_loopback_verifies_both_sides(tmp_path: Path):
    now = WallClock().now()
    authority = pki.new_authority("kubernetes", now=now)
    authority.issue_serving(NAMES, ADDRESSES, now=now).save(tmp_path / "s.crt", tmp_path / "s.key")
    authority.issue_client("jane", ["dev"], now=now).save(tmp_path / "c.crt", tmp_path / "c.key")
    ca = authority.certificate_pem.decode()
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=ca)
    server_side.load_cert_chain(tmp_path / "s.crt", tmp_path / "s.key")
    server_side.verify_mode = ssl.CERT_OPTIONAL
    client_side = ssl.create_default_context(cadata=ca)
    client_side.load_cert_chain(tmp_path / "c.crt", tmp_path / "c.key")
    seen: list[bytes | None] = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        writer.write(b"hello\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_side)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for host in ("localhost", "127.0.0.1"):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_side, server_hostname=host
            )
            assert await reader.readline() == b"hello\n"
            writer.close()
            await writer.wait_closed()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection(
                "127.0.0.1", port, ssl=client_side, server_hostname="other.test"
            )
    user = await authenticator(authority, now).authenticate(Credentials(certificate_der=seen[0]))
    assert user is not None
    assert (user.name, user.groups) == ("jane", ("dev",))
