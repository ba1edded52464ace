"""What settings say of who may call, checked before a server starts, whatever it finds then.

Without gRPC: to refuse settings, or to tell what they are, does not take it.
"""

from pathlib import Path
from typing import Final

from runindex_server.access.caller import Role
from runindex_server.rpc.address import is_loopback
from runindex_server.settings import Settings

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


def check_access(settings: Settings) -> None:
    """Check settings without looking at any file.

    Raises:
        AccessRefused: They do not fit together.
        Insecure: They leave a server open to other machines that was not told to be.
        InvalidAddress: As `is_loopback`.
    """
    pair, roles = tls_pair(settings), certificate_roles(settings)
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
    lacks = [what for what, is_there in ((_READ_BY_ALL, pair), (_OPEN_TO_ALL, asks)) if not is_there]
    if lacks:
        raise Insecure(_REMOTE_REFUSED.format(address=settings.address, lacks=", and\n".join(lacks)))


def tls_pair(settings: Settings) -> tuple[Path, Path] | None:
    """Return where the server's certificate and its key are; None when there are none.

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
    return cert, key


def certificate_roles(settings: Settings) -> dict[str, Role]:
    """Return the roles of the names in callers' certificates.

    Raises:
        AccessRefused: It is not `name=role,name=role`.
    """
    roles = {}
    for part in filter(None, (part.strip() for part in settings.certificate_roles.split(","))):
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
