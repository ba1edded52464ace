"""The pauses before a worker is started again."""

from runindex_server.supervisor.backoff import LONG_LIFE_US, Backoff


def test_pauses_double_up_to_a_bound() -> None:
    backoff = Backoff()

    assert [backoff.pause_s(life_us=0) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_a_long_life_makes_the_next_pause_a_first_one() -> None:
    backoff = Backoff()
    for _ in range(8):
        backoff.pause_s(life_us=LONG_LIFE_US - 1)

    assert backoff.pause_s(life_us=LONG_LIFE_US - 1) == 5.0
    assert backoff.pause_s(life_us=LONG_LIFE_US) == 0.1
    assert backoff.pause_s(life_us=0) == 0.2
