"""The machines of `test_model`, before a server of two processes: each call goes to the other one."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import settings

from tests.property.machine import MachineFrame, server_loop
from tests.property.model_retention import Policy
from tests.property.test_model import DataMachine, ModelMachine
from tests.property.wire import Stubs, stored_policy
from tests.support.workers import Pool, WorkersServer


@cache
def pool() -> Pool:
    """Return the processes of all servers of this one; they end with it."""
    folder = Path(tempfile.mkdtemp(prefix="runindex-workers-"))
    atexit.register(shutil.rmtree, folder)
    return Pool(folder)


class WorkersFrame(MachineFrame):
    """A frame whose server runs in other processes."""

    server: WorkersServer  # type: ignore[assignment]  # It is used alike.
    _is_new = True

    def start_server(self, default_policy: Policy) -> WorkersServer:  # type: ignore[override]  # As above.
        if self._is_new:
            self._is_new = False
            self.clock = pool().clock
            pool().clock.restart()
        return WorkersServer(
            server_loop(),
            pool(),
            self.data_dir / "store",
            default_retention=stored_policy(default_policy),
            retention_interval_s=self.retention_interval_s,
        )

    def connect(self) -> None:
        self.channel = self.server.channel()
        self.stub = Stubs(self.channel)


class ModelWorkersMachine(WorkersFrame, ModelMachine):
    """All methods of RunIndex."""


class DataWorkersMachine(WorkersFrame, DataMachine):
    """What runs hold, and how long."""


TestModelWorkers = ModelWorkersMachine.TestCase
TestDataWorkers = DataWorkersMachine.TestCase
# What processes of one store do to each other shows early, or it is a matter of the rules.
TestModelWorkers.settings = TestDataWorkers.settings = settings(
    max_examples=settings.default.max_examples // 5
)
