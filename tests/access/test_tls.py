"""TLS: certificates of the server and of callers, and new ones under load without a failed call."""

import threading
from typing import Final

import grpc
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from runindex.v1 import insights_pb2 as insights_pb
from runindex.v1 import insights_pb2_grpc as insights_grpc
from runindex.v1 import run_index_pb2 as pb
from runindex.v1 import run_index_pb2_grpc as pb_grpc
from runindex_server.access.caller import Role
from runindex_server.access.token_file import LOOK_INTERVAL_US, LiveTokens
from runindex_server.rpc.admission import Admission
from runindex_server.rpc.tls import Certificates, CertificatesRefused, TlsFiles
from tests.access.conftest import Start, TokenMaker, trusting, write_certificate
from tests.access.refusals import reason_of
from tests.support.clock import ManualClock
from tests.support.server import RunningServer

AGENT: Final = "spiffe://example.org/agent"
DASHBOARD: Final = "dashboard.example.org"
ROLES: Final = {AGENT: Role.WRITER, DASHBOARD: Role.READER}


def count(server: RunningServer, credentials: grpc.ChannelCredentials, *, token: str = "") -> str:
    """Ask for a count over TLS, on a connection of its own; return why it failed, empty when it did not."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(server.target, credentials, options=options) as channel:
        try:
            pb_grpc.RunIndexStub(channel).CountRuns(pb.CountRunsRequest(), metadata=metadata, timeout=30)
        except grpc.RpcError as error:
            return reason_of(error) or error.code().name
    return ""


def showing_uri(authority: trustme.CA, client_authority: trustme.CA, uri: str) -> grpc.ChannelCredentials:
    """Return credentials of a client that shows a certificate with a URI beside a name."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(client_authority.cert_pem.bytes())
    issuer_key = load_pem_private_key(client_authority.private_key_pem.bytes(), None)
    names = [x509.DNSName("somewhere.example.org"), x509.UniformResourceIdentifier(uri)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
    return grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificate.public_bytes(Encoding.PEM),
    )


def test_it_speaks_tls_only(start: Start, tls_files: TlsFiles, authority: trustme.CA) -> None:
    server = start(certificates=Certificates(tls_files))

    assert count(server, trusting(authority)) == ""
    assert count(server, trusting(trustme.CA())) == "UNAVAILABLE"
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as refused:
        pb_grpc.RunIndexStub(channel).CountRuns(pb.CountRunsRequest(), timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_new_certificates_under_load_fail_no_call(
    start: Start, tls_files: TlsFiles, authority: trustme.CA
) -> None:
    """One connection that stays, and a new one for each further call, while files are written 25 times."""
    server = start(certificates=Certificates(tls_files))
    failures: list[str] = []
    rotated = threading.Event()

    def call_on_and_on() -> None:
        while not rotated.is_set():
            failures.append(count(server, trusting(authority)))

    with grpc.secure_channel(server.target, trusting(authority)) as channel:
        stays = pb_grpc.RunIndexStub(channel)
        stays.CountRuns(pb.CountRunsRequest(), timeout=30)
        caller = threading.Thread(target=call_on_and_on)
        caller.start()
        try:
            for _ in range(25):
                write_certificate(tls_files, authority)
                stays.CountRuns(pb.CountRunsRequest(), timeout=30)
                failures.append(count(server, trusting(authority)))
        finally:
            rotated.set()
            caller.join(60)
    assert len(failures) > 25
    assert not any(failures)


def test_a_new_authority_is_served_with_at_the_next_handshake(
    start: Start, tls_files: TlsFiles, authority: trustme.CA
) -> None:
    server = start(certificates=Certificates(tls_files))
    assert count(server, trusting(authority)) == ""

    other = trustme.CA()
    write_certificate(tls_files, other)

    assert count(server, trusting(other)) == ""
    assert count(server, trusting(authority)) == "UNAVAILABLE"


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_files_that_cannot_be_used_change_nothing_but_the_log(
    start: Start, tls_files: TlsFiles, authority: trustme.CA, content: bytes | None
) -> None:
    certificates = Certificates(tls_files)
    server = start(certificates=certificates)
    if content is None:
        tls_files.cert.unlink()
    else:
        tls_files.cert.write_bytes(content)
    assert count(server, trusting(authority)) == ""
    with pytest.raises(CertificatesRefused, match=r"cert\.pem"):
        Certificates(tls_files)

    write_certificate(tls_files, authority)
    assert count(server, trusting(authority)) == ""


def test_a_key_of_another_certificate_is_refused(tls_files: TlsFiles, authority: trustme.CA) -> None:
    tls_files.key.write_bytes(authority.issue_cert("127.0.0.1").private_key_pem.bytes())
    with pytest.raises(CertificatesRefused, match="do not belong together"):
        Certificates(tls_files)


def test_what_is_no_authority_is_refused(tls_files: TlsFiles) -> None:
    client_ca = tls_files.cert.with_name("ca.pem")
    client_ca.write_text("nonsense")
    with pytest.raises(CertificatesRefused, match=r"ca\.pem is no certificate"):
        Certificates(TlsFiles(cert=tls_files.cert, key=tls_files.key, client_ca=client_ca))


@pytest.fixture
def mutual(tls_files: TlsFiles, client_authority: trustme.CA) -> Certificates:
    """Return certificates with which callers must show one of the clients' authority."""
    client_ca = tls_files.cert.with_name("ca.pem")
    client_authority.cert_pem.write_to_path(client_ca)
    return Certificates(TlsFiles(cert=tls_files.cert, key=tls_files.key, client_ca=client_ca))


def test_callers_must_show_a_certificate_of_the_authority(
    start: Start, mutual: Certificates, authority: trustme.CA, client_authority: trustme.CA
) -> None:
    server = start(certificates=mutual, admission=Admission(certificate_roles=ROLES))
    of_client = client_authority.issue_cert(DASHBOARD)
    of_nobody = trustme.CA().issue_cert(DASHBOARD)

    assert count(server, trusting(authority, showing=of_client)) == ""
    assert count(server, trusting(authority)) == "UNAVAILABLE"
    assert count(server, trusting(authority, showing=of_nobody)) == "UNAVAILABLE"


def test_a_name_in_the_certificate_is_who_calls(
    start: Start, mutual: Certificates, authority: trustme.CA, client_authority: trustme.CA
) -> None:
    server = start(certificates=mutual, admission=Admission(certificate_roles=ROLES))
    agent = showing_uri(authority, client_authority, AGENT)
    dashboard = trusting(authority, showing=client_authority.issue_cert(DASHBOARD))
    with (
        grpc.secure_channel(server.target, agent) as of_agent,
        grpc.secure_channel(server.target, dashboard) as of_dashboard,
    ):
        run = pb_grpc.RunIndexStub(of_agent).CreateRun(pb.CreateRunRequest()).run
        with pytest.raises(grpc.RpcError) as refused:
            pb_grpc.RunIndexStub(of_dashboard).CloseRun(pb.CloseRunRequest(run_id=run.run_id))
        assert reason_of(refused.value) == "PERMISSION_DENIED"
        pb_grpc.RunIndexStub(of_agent).CloseRun(pb.CloseRunRequest(run_id=run.run_id))
        history = insights_grpc.RunInsightsStub(of_dashboard).GetRunHistory(
            insights_pb.GetRunHistoryRequest(run_id=run.run_id)
        )
    assert history.transitions[-1].actor == AGENT


def test_a_certificate_without_a_role_is_nobodys(
    start: Start, mutual: Certificates, authority: trustme.CA, client_authority: trustme.CA
) -> None:
    server = start(certificates=mutual, admission=Admission(certificate_roles=ROLES))
    stranger = client_authority.issue_cert("stranger.example.org", common_name=DASHBOARD)
    assert count(server, trusting(authority, showing=stranger)) == "CREDENTIALS_INVALID"


def test_a_token_says_more_than_a_certificate(
    start: Start,
    mutual: Certificates,
    authority: trustme.CA,
    client_authority: trustme.CA,
    tokens: TokenMaker,
    clock: ManualClock,
) -> None:
    """Where both are asked for, a wrong token is refused, and a certificate without a role may bring one."""
    server = start(
        certificates=mutual,
        admission=Admission(tokens=LiveTokens(tokens.path, clock), certificate_roles=ROLES),
    )
    _, text = tokens(Role.READER)
    clock.advance(LOOK_INTERVAL_US)
    dashboard = trusting(authority, showing=client_authority.issue_cert(DASHBOARD))
    stranger = trusting(authority, showing=client_authority.issue_cert("stranger.example.org"))

    assert count(server, dashboard) == ""
    assert count(server, dashboard, token="ri_wrong") == "CREDENTIALS_INVALID"
    assert count(server, stranger, token=text) == ""


def test_a_client_authority_is_replaced_without_a_restart(
    start: Start,
    mutual: Certificates,
    tls_files: TlsFiles,
    authority: trustme.CA,
    client_authority: trustme.CA,
) -> None:
    server = start(certificates=mutual, admission=Admission(certificate_roles=ROLES))
    other = trustme.CA()
    other.cert_pem.write_to_path(tls_files.cert.with_name("ca.pem"))
    assert count(server, trusting(authority, showing=other.issue_cert(DASHBOARD))) == ""
    assert count(server, trusting(authority, showing=client_authority.issue_cert(DASHBOARD))) == "UNAVAILABLE"
