"""Who calls, and whether they may: asked once for each call, before its request is looked at."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc.aio

from runindex_server.access.caller import ANYBODY, Caller, Role
from runindex_server.access.rates import Rates
from runindex_server.access.token_file import LiveTokens
from runindex_server.errors import CredentialsInvalid, CredentialsMissing, RunIndexError

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

CALLER: Final[ContextVar[Caller]] = ContextVar("CALLER", default=ANYBODY)
"""Who makes the call under way. Set by `Admission.admit`: gRPC runs each call in a task of its own."""

_NAMES_IN_CERTIFICATE: Final = "x509_subject_alternative_name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Lets calls in, or refuses them. Without tokens and certificates nobody is asked.

    Attributes:
        tokens: By which callers are known; None for not by tokens.
        certificate_roles: Roles by the names in the certificates of callers; None for not by certificates.
        rates: How often each may call; None for any number.
    """

    tokens: LiveTokens | None = None
    certificate_roles: Mapping[str, Role] | None = None
    rates: Rates | None = None

    @property
    def asks(self) -> bool:
        """Whether callers are asked who they are."""
        return self.tokens is not None or self.certificate_roles is not None

    def admit(self, role: Role | None, context: Context) -> None:
        """Find out who calls, keep it in CALLER, and refuse the call if they may not make it.

        Args:
            role: What the method takes; None for nothing.
            context: Of the call.

        Raises:
            CredentialsMissing, CredentialsInvalid: It is not known who calls.
            RateLimited: They call too often.
            PermissionDenied: They may not do this.
        """
        try:
            caller = self._caller(context) if self.asks and role is not None else ANYBODY
        except RunIndexError:
            # Guessing is bounded too.
            self._count("", context)
            raise
        CALLER.set(caller)
        self._count(caller.name, context)
        if role is not None:
            caller.check(role)

    def _count(self, name: str, context: Context) -> None:
        """Count a call of a caller; of one without a name, by the address."""
        if self.rates is not None:
            self.rates.check(name or _host_of(context))

    def _caller(self, context: Context) -> Caller:
        for key, value in context.invocation_metadata() or ():
            if key == "authorization":
                return self._by_token(str(value))
        return self._by_certificate(context)

    def _by_token(self, credentials: str) -> Caller:
        scheme, _, token = credentials.partition(" ")
        if self.tokens is None or scheme.lower() != "bearer":
            raise CredentialsInvalid
        caller = self.tokens.caller_of(token)
        if caller is None:
            raise CredentialsInvalid
        return caller

    def _by_certificate(self, context: Context) -> Caller:
        """Return who calls by the first of the certificate's names that has a role."""
        names = [name.decode() for name in context.auth_context().get(_NAMES_IN_CERTIFICATE, ())]
        if self.certificate_roles is None or not names:
            raise CredentialsMissing
        for name in names:
            if name in self.certificate_roles:
                return Caller(name, self.certificate_roles[name])
        raise CredentialsInvalid


def _host_of(context: Context) -> str:
    """Return the address of a caller, without the port."""
    return str(context.peer()).rpartition(":")[0]
