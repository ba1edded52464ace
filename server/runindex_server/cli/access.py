"""What settings say of who may call, checked before a server starts, and made when it does."""

from dataclasses import dataclass
from typing import Final

from runindex_server.access.audit import AuditLog, AuditRefused
from runindex_server.access.caller import Role
from runindex_server.access.rates import Rates
from runindex_server.access.token_file import LiveTokens, TokensRefused
from runindex_server.clock import Clock
from runindex_server.rpc.address import is_loopback
from runindex_server.rpc.admission import Admission
from runindex_server.rpc.auditing import Auditor
from runindex_server.rpc.tls import Certificates, CertificatesRefused, TlsFiles
from runindex_server.settings import Settings

FAULTS: Final = (TokensRefused, CertificatesRefused, AuditRefused)
"""Why a server does not start, told in a sentence."""

_REMOTE_REFUSED: Final = """\
{address} can be reached by other machines, and this server {lacks}.
Give it a certificate (--tls-cert, --tls-key), and its callers tokens (--tokens-file) or certificates
(--tls-client-ca, --certificate-roles); or listen on loopback (--address 127.0.0.1:50051). On a network that
you trust, say that you mean it: --insecure-allow-remote (RUNINDEX_INSECURE_ALLOW_REMOTE=true).
"""

_READ_BY_ALL: Final = "speaks in the clear, so that what callers send can be read on the way"
_OPEN_TO_ALL: Final = (
    "does not ask callers who they are: whoever\nreaches it can read, change and delete every run"
)


class AccessRefused(ValueError):
    """The settings of access do not fit together: the sentence says how."""


class Insecure(AccessRefused):
    """Other machines could reach a server that is not made for it."""


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


def check_access(settings: Settings) -> None:
    """Check settings without looking at any file.

    Raises:
        AccessRefused: They do not fit together.
        Insecure: They leave a server open to other machines that was not told to be.
        InvalidAddress: As `is_loopback`.
    """
    files, roles = tls_files(settings), _certificate_roles(settings.certificate_roles)
    asks = settings.tokens_file is not None or bool(roles)
    if settings.tls_client_ca is not None and not asks:
        msg = (
            "--tls-client-ca says who may connect, and not what they may do: give --certificate-roles, "
            "or --tokens-file"
        )
        raise AccessRefused(msg)
    if roles and settings.tls_client_ca is None:
        msg = "--certificate-roles are of callers' certificates, which need --tls-client-ca"
        raise AccessRefused(msg)
    if settings.insecure_allow_remote or is_loopback(settings.address):
        return
    lacks = [what for what, is_there in ((_READ_BY_ALL, files), (_OPEN_TO_ALL, asks)) if not is_there]
    if lacks:
        raise Insecure(_REMOTE_REFUSED.format(address=settings.address, lacks=", and\n".join(lacks)))


def open_access(settings: Settings, clock: Clock) -> Access:
    """Return who may call, by settings that are checked.

    Raises:
        FAULTS: A file cannot be used.
    """
    files, roles = tls_files(settings), _certificate_roles(settings.certificate_roles)
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
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None and key is None:
        if settings.tls_client_ca is not None:
            msg = "--tls-client-ca needs --tls-cert and --tls-key"
            raise AccessRefused(msg)
        return None
    if cert is None or key is None:
        msg = "--tls-cert and --tls-key need each other"
        raise AccessRefused(msg)
    return TlsFiles(cert=cert, key=key, client_ca=settings.tls_client_ca)


def _certificate_roles(text: str) -> dict[str, Role]:
    """Return the roles of the names in callers' certificates.

    Raises:
        AccessRefused: It is not `name=role,name=role`.
    """
    roles = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, word = part.rpartition("=")
        try:
            roles[name] = Role(word)
        except ValueError:
            name = ""
        if not name:
            msg = (
                f"--certificate-roles (RUNINDEX_CERTIFICATE_ROLES): {part!r} is not name=role, "
                f"of a role of {', '.join(Role)}"
            )
            raise AccessRefused(msg)
    return roles
