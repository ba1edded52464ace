"""Who may call a server, how, and what is written down of it: made of settings that are checked."""

from dataclasses import dataclass
from typing import Final

from runindex_server.access.audit import AuditLog, AuditRefused
from runindex_server.access.rates import Rates
from runindex_server.access.token_file import LiveTokens, TokensRefused
from runindex_server.cli.access_check import certificate_roles, tls_pair
from runindex_server.clock import Clock
from runindex_server.rpc.admission import Admission
from runindex_server.rpc.auditing import Auditor
from runindex_server.rpc.tls import Certificates, CertificatesRefused, TlsFiles
from runindex_server.settings import Settings

FAULTS: Final = (TokensRefused, CertificatesRefused, AuditRefused)
"""Why a server does not start, told in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may call a server, how, and what is written down of it."""

    admission: Admission
    auditor: Auditor
    certificates: Certificates | None

    def close(self) -> None:
        """Close the audit log."""
        if self.auditor.log is not None:
            self.auditor.log.close()


def open_access(settings: Settings, clock: Clock) -> Access:
    """Return who may call, by settings that are checked.

    Raises:
        FAULTS: A file cannot be used.
    """
    files, roles = tls_files(settings), certificate_roles(settings)
    return Access(
        admission=Admission(
            tokens=None if settings.tokens_file is None else LiveTokens(settings.tokens_file, clock),
            certificate_roles=roles or None,
            rates=Rates(settings.calls_per_s, clock) if settings.calls_per_s else None,
        ),
        auditor=Auditor(None if settings.audit_log is None else AuditLog(settings.audit_log, clock)),
        certificates=None if files is None else Certificates(files),
    )


def tls_files(settings: Settings) -> TlsFiles | None:
    """Return where the certificates are; None when there are none.

    Raises:
        AccessRefused: One is missing.
    """
    pair = tls_pair(settings)
    if pair is None:
        return None
    cert, key = pair
    return TlsFiles(cert=cert, key=key, client_ca=settings.tls_client_ca)
