"""What happens around the calls: the clock moves both ways, the server starts again, background jobs run."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.property.machine import MachineFrame
from tests.support.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US

strides = st.sampled_from((1, 999, SECOND_US, 29 * SECOND_US, MINUTE_US, HOUR_US, 23 * HOUR_US, 2 * DAY_US))


class WorldRules(MachineFrame):
    """The world."""

    @rule(stride_us=strides, is_forwards=st.sampled_from((True, True, False)))
    def turn_the_clock(self, *, stride_us: int, is_forwards: bool) -> None:
        self.turn(stride_us if is_forwards else -stride_us)

    @rule(rewound_us=st.sampled_from((0, 0, SECOND_US, HOUR_US)))
    def restart(self, *, rewound_us: int) -> None:
        """Everything that was acknowledged is there again, page tokens lead on, and time does not go back."""
        self.channel.close()
        self.turn(-rewound_us)
        self.server.restart()
        self.connect()
        self.note_start()

    @rule(waited_us=st.sampled_from((0, 0, 2 * DAY_US)))
    def run_jobs(self, *, waited_us: int) -> None:
        """Merging and erasing change no answer, nor does forgetting requests after their time."""
        self.turn(waited_us)
        self.server.run_jobs()
        self.note_jobs()

    def note_jobs(self) -> None:
        """Let the model know that the background jobs have run."""
        self.model.clock.run_jobs(self.clock.now_us(), self.clock.monotonic_us())


class EraRules(WorldRules):
    """The world, and machines that do not know the time."""

    @rule()
    def forget_the_time(self) -> None:
        """A machine whose clock was never set begins in 1970."""
        self.turn(HOUR_US - self.model.wall_us)
