"""Certificates: read from files, and read again when the files change, without a restart."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from runindex_server.logs import get_logger

_log: Final = get_logger(__name__)

_Identity = tuple[tuple[int, ...], ...]


class CertificatesRefused(Exception):
    """The files cannot be used: the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Where the certificates are, as PEM.

    Attributes:
        cert: The server's certificate, and those between it and its authority's.
        key: Its private key.
        client_ca: Those of authorities whose certificates callers must show; None when they need none.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.cert, self.key, *filter(None, (self.client_ca,)))


class Certificates:
    """The server's certificates, as the files are now.

    gRPC asks for them at each handshake; connections that are open go on.
    """

    def __init__(self, files: TlsFiles) -> None:
        """Read the files for the first time.

        Raises:
            CertificatesRefused: They cannot be read, or do not belong together.
        """
        self._files = files
        self._looked_at = _identity_of(files)
        self._configuration = _load(files)

    def credentials(self) -> grpc.ServerCredentials:
        """Return what a port is listened on with."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration,
            self._changed,  # type: ignore[arg-type]  # The stubs know no None, which is for no change.
            self._files.client_ca is not None,
        )

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the certificates for a handshake; None when they are those of the last.

        Files that cannot be used change nothing but the log. To be told of the same certificates again and
        again lets gRPC abort now and then: it then replaces what other handshakes are using.
        """
        identity = _identity_of(self._files)
        if identity == self._looked_at:
            return None
        self._looked_at = identity
        try:
            configuration = _load(self._files)
        except CertificatesRefused as error:
            _log.error("certificates not read again", problem=str(error))
            return None
        _log.info("certificates read again")
        return configuration


def _load(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    """Return what the files hold, after a check that they can be served with.

    Raises:
        CertificatesRefused: They cannot.
    """
    path = files.cert
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.cert, files.key)
        key, cert = files.key.read_bytes(), files.cert.read_bytes()
        client_ca = None
        if files.client_ca is not None:
            path = files.client_ca
            context.load_verify_locations(path)
            client_ca = path.read_bytes()
    except ssl.SSLError as error:
        what = "is no certificate" if path is files.client_ca else f"and {files.key} do not belong together"
        msg = f"{path} {what}: {error.reason or error}"
        raise CertificatesRefused(msg) from error
    except OSError as error:
        msg = f"{error.filename or path} cannot be read: {error.strerror}"
        raise CertificatesRefused(msg) from error
    return grpc.ssl_server_certificate_configuration([(key, cert)], client_ca)


def _identity_of(files: TlsFiles) -> _Identity:
    """Return what tells the files from any others under their paths."""
    identities: list[tuple[int, ...]] = []
    for path in files.paths:
        try:
            status = path.stat()
        except OSError:
            identities.append(())
        else:
            identities.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(identities)
