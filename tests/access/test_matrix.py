"""Who may call what: every method, with every kind of credentials."""

from datetime import timedelta
from typing import Final

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from runindex_server.access.caller import Role
from runindex_server.access.token_file import LiveTokens
from runindex_server.rpc.admission import Admission
from runindex_server.rpc.policy import HEALTH, OPEN, POLICY, REFLECTION, PolicyIncomplete, check_policy
from runindex_server.rpc.server import SERVICES
from tests.access.conftest import Start, TokenMaker
from tests.access.refusals import reason_of
from tests.support.clock import ManualClock
from tests.support.server import RunningServer

METHODS: Final = {
    f"{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods
}
GUARDED: Final = [name for name in METHODS if not name.startswith(("grpc.",))]
OK: Final = (grpc.StatusCode.OK, "")
MISSING: Final = (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_MISSING")
INVALID: Final = (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")

REFUSALS: Final = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}


def role_of(method: str) -> Role | None:
    service, _, name = method.partition("/")
    return POLICY[service][name]


def ask(server: RunningServer, method: str, *credentials: str) -> tuple[grpc.StatusCode, str]:
    """Call a method with an empty request; return how it ended, and why."""
    metadata = [("authorization", each) for each in credentials]
    with grpc.insecure_channel(server.target) as channel:
        try:
            if METHODS[method].server_streaming:
                list(channel.unary_stream(f"/{method}", None, None)(b"", metadata=metadata, timeout=30))
            else:
                channel.unary_unary(f"/{method}", None, None)(b"", metadata=metadata, timeout=30)
        except grpc.RpcError as error:
            return error.code(), reason_of(error)
    return grpc.StatusCode.OK, ""


class Credentials:
    """What callers can send, made once for a server."""

    def __init__(self, server: RunningServer, tokens: TokenMaker, clock: ManualClock) -> None:
        self.server = server
        self.of_role = {role: f"Bearer {tokens(role)[1]}" for role in Role}
        _, expiring = tokens(Role.ADMIN, expires_in=timedelta(seconds=5))
        clock.advance(5_000_000)
        right = self.of_role[Role.ADMIN]
        self.wrong = {
            "secret": right[:-1] + ("A" if right[-1] != "A" else "B"),
            "unknown id": right.replace(right[10:22], "0" * 12),
            "no scheme": right.removeprefix("Bearer "),
            "another scheme": right.replace("Bearer", "Basic"),
            "another prefix": right.replace("ri_", "xx_"),
            "nothing": "",
            "no token": "Bearer ",
            "half of it": right[:20],
            "expired": f"Bearer {expiring}",
            "too long": right + "A" * 5_000,
        }


@pytest.fixture
def credentials(asking: RunningServer, tokens: TokenMaker, clock: ManualClock) -> Credentials:
    return Credentials(asking, tokens, clock)


def test_the_policy_names_every_method_and_no_other() -> None:
    check_policy(SERVICES)
    assert len(METHODS) == sum(map(len, POLICY.values())) == 24 + 17 + 6 + 6 + 4 + 2 + 1


@pytest.mark.parametrize("service", [service.full_name for service in SERVICES])
def test_a_service_without_a_row_stops_the_server(service: str) -> None:
    others = [each for each in SERVICES if each.full_name != service]
    with pytest.raises(PolicyIncomplete, match=service):
        check_policy(others)


def is_read(method: MethodDescriptor) -> bool:
    return method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS


@pytest.mark.parametrize("method", GUARDED)
def test_what_changes_something_takes_more_than_a_reader(method: str) -> None:
    """And what only reads takes no more; but Verify and Backup, which cost the whole store."""
    costly = method in {"runindex.v1.Maintenance/Verify", "runindex.v1.Maintenance/Backup"}
    assert (role_of(method) is Role.READER) == (is_read(METHODS[method]) and not costly)


@pytest.mark.parametrize("method", GUARDED)
def test_a_method_is_open_to_its_role_and_to_those_above(credentials: Credentials, method: str) -> None:
    needed = role_of(method)
    assert needed is not None
    for role in Role:
        code, reason = ask(credentials.server, method, credentials.of_role[role])
        if role.includes(needed):
            assert code not in REFUSALS
        else:
            assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


@pytest.mark.parametrize("method", GUARDED)
def test_no_method_takes_wrong_credentials(credentials: Credentials, method: str) -> None:
    assert ask(credentials.server, method) == MISSING
    for what, wrong in credentials.wrong.items():
        assert ask(credentials.server, method, wrong) == INVALID, what
    # The first counts, whatever follows.
    assert ask(credentials.server, method, "Bearer x", credentials.of_role[Role.ADMIN]) == INVALID


@pytest.mark.parametrize("method", GUARDED)
def test_where_nobody_is_asked_everybody_may_call(start: Start, method: str) -> None:
    server = start(admission=Admission())
    assert ask(server, method)[0] not in REFUSALS
    assert ask(server, method, "Bearer whatever")[0] not in REFUSALS


def test_health_asks_nobody(credentials: Credentials) -> None:
    assert set(POLICY[HEALTH].values()) == {OPEN}
    assert ask(credentials.server, f"{HEALTH}/Check") == OK
    assert ask(credentials.server, f"{HEALTH}/Check", "Bearer nonsense") == OK


def reflect(channel: grpc.Channel, *credentials: str) -> tuple[grpc.StatusCode, str]:
    """Ask for the list of services; return how it ended, and why."""
    metadata = [("authorization", each) for each in credentials]
    list_services = b"\x3a\x01*"
    ask_all = channel.stream_stream(f"/{REFLECTION}/ServerReflectionInfo", None, None)
    try:
        told = b"".join(ask_all(iter([list_services]), metadata=metadata, timeout=30))
    except grpc.RpcError as error:
        return error.code(), reason_of(error)
    return grpc.StatusCode.OK, "" if b"runindex.v1.RunIndex" in told else "nothing was told"


def test_reflection_asks_nobody_on_loopback(credentials: Credentials) -> None:
    with grpc.insecure_channel(credentials.server.target) as channel:
        assert reflect(channel) == OK


def test_reflection_asks_for_a_reader_where_others_reach_it(
    start: Start, tokens: TokenMaker, clock: ManualClock
) -> None:
    server = start(address="0.0.0.0:0", admission=Admission(tokens=LiveTokens(tokens.path, clock)))
    _, reader = tokens(Role.READER)
    clock.advance(1_000_000)
    with grpc.insecure_channel(server.target) as channel:
        assert reflect(channel) == MISSING
        assert reflect(channel, f"Bearer {reader}") == OK
