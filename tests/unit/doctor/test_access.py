"""Settings, certificates, tokens and the audit log as `doctor` sees them."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import trustme

from runindex_server.access.caller import Role
from runindex_server.access.token_file import add_token
from runindex_server.access.tokens import new_token
from runindex_server.cli.diagnosis.certificate_times import Validity, validities_in
from tests.support.clock import START_US
from tests.unit.doctor.conftest import Examine

CERT: Final = Path("cert.pem")
KEY: Final = Path("key.pem")
CA: Final = Path("ca.pem")
TLS: Final = {"tls_cert": CERT, "tls_key": KEY}
NOW: Final = datetime.fromtimestamp(START_US // 1_000_000, UTC)
LATER: Final = NOW + timedelta(days=365)
TOKENS: Final = Path("tokens.json")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certify(
    authority: trustme.CA, *, begin: datetime = datetime(2020, 1, 1, tzinfo=UTC), end: datetime = LATER
) -> None:
    """Write a certificate that is good for a time, and its key."""
    issued = authority.issue_cert(
        "localhost", not_before=begin.replace(tzinfo=None), not_after=end.replace(tzinfo=None)
    )
    CERT.write_bytes(issued.cert_chain_pems[0].bytes())
    KEY.touch(mode=0o600)
    KEY.write_bytes(issued.private_key_pem.bytes())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"tls_cert": CERT}, "--tls-cert and --tls-key need each other"),
        ({"address": "50051"}, "'50051' is not host:port, such as 127.0.0.1:50051 or [::1]:50051"),
        (
            {"metrics_address": "9464"},
            (
                "--metrics-address (RUNINDEX_METRICS_ADDRESS): '9464' is not host:port, such as "
                "127.0.0.1:50051 or [::1]:50051"
            ),
        ),
        (
            {"default_retention": "sometimes"},
            (
                "--default-retention (RUNINDEX_DEFAULT_RETENTION): 'sometimes' is not a retention policy; "
                "use keep_all, keep_latest_n=10, keep_duration=30d or delete_after=90d (in s, m, h, d or w)"
            ),
        ),
    ],
)
def test_settings_that_serve_refuses(
    examined: Examine, data_dir: Path, settings: dict[str, Any], told: str
) -> None:
    assert examined(**settings)["settings"] == ("problem", told)


def test_an_open_server_is_told_in_one_line(examined: Examine, data_dir: Path) -> None:
    level, told = examined(address="0.0.0.0:0")["settings"]
    assert level == "problem"
    assert told.startswith("0.0.0.0:0 can be reached by other machines, and this server speaks in the clear")
    assert "\n" not in told


def test_settings_that_fit(examined: Examine) -> None:
    found = examined()
    assert found["settings"] == ("ok", "the settings fit together")
    assert not found.keys() & {"certificate", "tokens", "audit log", "metrics", "server"}


@pytest.mark.parametrize(
    ("begin_days", "end_days", "level", "told"),
    [
        (-1, 15, "ok", "cert.pem belongs to key.pem; good until 2026-03-16 12:00 UTC"),
        (
            -1,
            13,
            "warning",
            "cert.pem is good only until 2026-03-14 12:00 UTC; write a new one over it",
        ),
        (-9, -1, "problem", "cert.pem is not good since 2026-02-28 12:00 UTC; write a new one over it"),
        (
            2,
            90,
            "problem",
            "cert.pem is good only from 2026-03-03 12:00 UTC; set the clock right, or wait",
        ),
    ],
)
def test_a_certificate_by_its_times(
    examined: Examine,
    data_dir: Path,
    authority: trustme.CA,
    begin_days: int,
    end_days: int,
    level: str,
    told: str,
) -> None:
    certify(authority, begin=NOW + timedelta(days=begin_days), end=NOW + timedelta(days=end_days))
    assert examined(**TLS)["certificate"] == (level, told)


def test_a_certificate_of_another_key(examined: Examine, data_dir: Path, authority: trustme.CA) -> None:
    certify(authority)
    KEY.write_bytes(authority.issue_cert("localhost").private_key_pem.bytes())
    level, told = examined(**TLS)["certificate"]
    assert (level, told.split(": ")[0]) == ("problem", "cert.pem and key.pem do not belong together")


def test_a_certificate_that_is_not_there(examined: Examine, data_dir: Path) -> None:
    assert examined(**TLS)["certificate"] == ("problem", "cert.pem cannot be read: No such file or directory")


def test_a_key_that_others_can_read(examined: Examine, data_dir: Path, authority: trustme.CA) -> None:
    certify(authority)
    KEY.chmod(0o644)
    assert examined(**TLS)["certificate"] == (
        "warning",
        "key.pem has the mode 0644, so that others can use it; close it: chmod 600 key.pem",
    )


def test_the_certificates_of_callers_authorities_count_too(
    examined: Examine, data_dir: Path, authority: trustme.CA
) -> None:
    certify(authority)
    CA.write_bytes(CERT.read_bytes() + authority.cert_pem.bytes())
    roles = {"tls_client_ca": CA, "certificate_roles": "a=writer"}
    assert examined(**TLS, **roles)["certificate"][0] == "ok"
    certify(authority, end=NOW - timedelta(days=1))
    CA.write_bytes(authority.cert_pem.bytes() + CERT.read_bytes())
    certify(authority)
    assert examined(**TLS, **roles)["certificate"] == (
        "problem",
        "ca.pem is not good since 2026-02-28 12:00 UTC; write a new one over it",
    )


def test_times_are_read_of_each_certificate_in_a_file(data_dir: Path, authority: trustme.CA) -> None:
    """Also beyond 2049, where they are written in another way."""
    spans = [
        Validity(datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)),
        Validity(datetime(2026, 1, 1, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)),
    ]
    content = b""
    for span in spans:
        certify(authority, begin=span.begin, end=span.end)
        content += b"a comment\n" + CERT.read_bytes()
    CERT.write_bytes(content)
    assert validities_in(CERT) == spans


def test_half_a_certificate_is_none(data_dir: Path) -> None:
    CERT.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    with pytest.raises(ValueError, match=r"cert\.pem holds a certificate that ends too early"):
        validities_in(CERT)


def add(name: str, *, end: datetime | None = None) -> None:
    token, _ = new_token(name, Role.READER, now=NOW - timedelta(days=9), expire_time=end)
    add_token(TOKENS, token)


NOBODY: Final = (
    "tokens.json has no token that is good, so that nobody can call with one; make one: "
    "runindex-server token create --tokens-file tokens.json"
)


def test_tokens(examined: Examine, data_dir: Path) -> None:
    def look() -> tuple[str, str]:
        return examined(tokens_file=TOKENS)["tokens"]

    assert look() == ("warning", NOBODY)
    add("agents", end=NOW - timedelta(seconds=1))
    assert look() == ("warning", NOBODY)
    add("grafana", end=NOW + timedelta(seconds=1))
    assert look() == (
        "warning",
        "tokens.json has 1 token, and 1 that expired, of agents; make new ones, and revoke those",
    )
    TOKENS.unlink()
    add("agents")
    add("agents")
    assert look() == ("ok", "tokens.json has 2 tokens")
    TOKENS.chmod(0o640)
    assert look() == (
        "problem",
        "tokens.json has the mode 0640, so that others can use it; close it: chmod 600 tokens.json",
    )


def test_the_audit_log(examined: Examine, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(path: str) -> tuple[str, str]:
        return examined(audit_log=path)["audit log"]

    assert look("audit.jsonl") == ("ok", "audit.jsonl can be written")
    assert not Path("audit.jsonl").exists()
    Path("audit.jsonl").touch()
    assert look("audit.jsonl") == ("ok", "audit.jsonl can be written")
    Path("folder").mkdir()
    assert look("folder") == ("problem", "folder is a folder; name a file")
    absent = Path("absent").absolute()
    assert look("absent/audit.jsonl") == (
        "problem",
        f"absent/audit.jsonl cannot be written: look at {absent}, and whose it is",
    )
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert look("audit.jsonl") == (
        "problem",
        "audit.jsonl cannot be written: look at audit.jsonl, and whose it is",
    )
