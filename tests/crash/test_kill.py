"""Kill -9 while clients write: what was acknowledged is there, what was not is there once or not at all."""

import asyncio
import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import grpc
import pytest

from tests.crash.ledger import Acknowledgements, LedgerClient
from tests.crash.process import WAIT_S, ServerProcess, check_data_dir, serving

CLIENTS: Final = 4
ROUNDS: Final = 2


def begin(
    clients: Sequence[LedgerClient], server: ServerProcess, acknowledgements: Acknowledgements
) -> list[threading.Thread]:
    """Let the clients work until their server is gone."""
    threads = [
        threading.Thread(target=client.work, args=(server.target, acknowledgements), daemon=True)
        for client in clients
    ]
    for thread in threads:
        thread.start()
    return threads


def end(threads: Sequence[threading.Thread]) -> None:
    """Wait until all clients have met the end of their server."""
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()


@pytest.mark.parametrize("seed", range(2))
def test_an_acknowledged_write_survives_kill_9(tmp_path: Path, seed: int) -> None:
    data_dir = tmp_path / "data"
    numbers = random.Random(seed)
    clients = [LedgerClient(name, f"{seed}") for name in range(CLIENTS)]
    for _ in range(ROUNDS):
        with serving(data_dir) as server:
            for client in clients:
                client.verify(server.target)
            acknowledgements = Acknowledgements(numbers.randint(1, 200))
            threads = begin(clients, server, acknowledgements)
            acknowledgements.wait()
            server.kill()
            end(threads)
        asyncio.run(check_data_dir(data_dir))
    with serving(data_dir) as server:
        for client in clients:
            client.verify(server.target)
        assert server.logged() == ""
    asyncio.run(check_data_dir(data_dir))


def test_sigterm_drains_and_exits_0(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    # So many that calls arrive in every moment of the end.
    clients = [LedgerClient(name, "drain") for name in range(4 * CLIENTS)]
    with serving(data_dir) as server:
        acknowledgements = Acknowledgements(100)
        threads = begin(clients, server, acknowledgements)
        acknowledgements.wait()
        server.terminate()
        end(threads)
        assert server.exit_code() == 0
        # Calls under way were finished, later ones refused: none was cut off.
        assert {client.lost_code for client in clients} == {grpc.StatusCode.UNAVAILABLE}
        assert server.logged() == ""
    asyncio.run(check_data_dir(data_dir))
    with serving(data_dir) as server:
        for client in clients:
            client.verify(server.target)


def test_a_data_directory_serves_one_process(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir), pytest.raises(AssertionError, match="is held by process"):
        ServerProcess(data_dir)
