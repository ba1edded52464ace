"""By which tests RunIndex is held to its promises, which `docs/reference/promises.md` tells in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Proof:
    """What holds a promise.

    Attributes:
        tests: The tests: `path::test`, the path below `tests/`.
        planted: Tests that plant a fault and show that the others would notice: the same.
    """

    tests: tuple[str, ...]
    planted: tuple[str, ...] = ()


POWER: Final = "trust/power/test_power_loss.py::test_no_loss_of_power_breaks_a_promise"
POWER_PLANTED: Final = "trust/power/test_planted_faults.py::test_a_planted_fault_is_found"
HISTORIES: Final = "trust/histories/test_histories.py::"
HISTORY: Final = f"{HISTORIES}test_a_history_with_kills_is_strictly_serialisable_and_loses_nothing"
HISTORY_PLANTED: Final = (
    f"{HISTORIES}test_every_fault_that_is_planted_into_a_history_is_found_and_named",
    f"{HISTORIES}test_a_fault_that_is_planted_into_the_server_is_found_and_named",
)

CALLERS: Final = "trust/callers/test_callers.py::"
DISK: Final = "trust/disk/"
SECOND: Final = "trust/processes/test_second_server.py::"
REPLACED: Final = "trust/processes/test_replaced_files.py::"
HUNG: Final = "trust/processes/test_hung_workers.py::"
REAL: Final = "trust/clocks/test_real_servers.py::"
PARSERS: Final = "trust/wire/test_parsers.py::"
WIRE: Final = "trust/wire/test_wire.py::"

PROOFS: Final[Mapping[str, Proof]] = {
    "kept": Proof(
        (
            POWER,
            HISTORY,
            "crash/test_kill.py::test_an_acknowledged_write_survives_kill_9",
            "crash/test_workers.py::test_a_worker_that_is_killed_loses_nothing_and_comes_back",
        ),
        (POWER_PLANTED, *HISTORY_PLANTED),
    ),
    "whole": Proof(
        (
            POWER,
            "property/test_model.py::TestModel::runTest",
            "property/test_model.py::TestData::runTest",
            "crash/test_erasure.py::test_an_erasure_survives_kill_9_at_any_point",
            "crash/test_compaction.py::test_a_compaction_survives_kill_9_at_any_point",
            "crash/test_import.py::test_an_import_that_is_killed_leaves_all_or_nothing",
            "crash/test_restore.py::test_a_restore_that_is_killed_leaves_all_or_nothing",
            "crash/test_shrink.py::test_shrinking_that_is_killed_loses_nothing",
        ),
        (POWER_PLANTED,),
    ),
    "order": Proof((HISTORY,), HISTORY_PLANTED),
    "once": Proof(
        (
            HISTORY,
            f"{CALLERS}test_a_good_client_is_served_meanwhile",
            "trust/clocks/test_forgetting.py::test_answers_are_remembered_for_a_day_and_forgotten_then",
        ),
        (
            *HISTORY_PLANTED,
            f"{CALLERS}test_a_server_that_forgets_request_ids_is_found_out",
            "trust/clocks/test_forgetting.py::test_answers_that_are_forgotten_by_the_wall_clock_are_found",
        ),
    ),
    "disk": Proof(
        (
            f"{DISK}test_full_disk.py::test_ten_times_full_and_free_without_a_restart",
            f"{DISK}test_full_disk.py::test_a_disk_that_grows_is_used_without_a_restart",
            f"{DISK}test_nth_call_fails.py::test_every_call_fails_in_turn",
            f"{DISK}test_nth_call_fails.py::test_after_an_unknown_outcome_the_server_ends_and_the_next_one_tells",
            f"{DISK}test_nth_call_fails.py::test_of_two_workers_one_ends_and_is_replaced",
            f"{DISK}test_rights.py::test_a_read_only_disk_is_told",
            f"{DISK}test_rights.py::test_missing_rights_are_told",
        ),
        (
            f"{DISK}test_nth_call_fails.py::test_a_lost_acknowledgement_is_found",
            f"{DISK}test_nth_call_fails.py::test_a_write_that_nobody_asked_for_is_found",
        ),
    ),
    "damage": Proof(
        (
            f"{DISK}test_damaged_stores.py::test_no_damage_goes_unnoticed",
            f"{DISK}test_damaged_stores.py::test_what_is_not_the_store_is_refused",
            f"{DISK}test_damaged_stores.py::test_a_server_says_what_is_damaged_and_the_way_out",
        ),
        (f"{DISK}test_damaged_stores.py::test_without_the_seal_the_harness_finds_damage",),
    ),
    "alone": Proof(
        (
            f"{SECOND}test_a_second_server_is_refused_however_it_spells_the_folder",
            f"{SECOND}test_a_second_server_is_refused_in_namespaces_of_its_own",
            f"{SECOND}test_commands_on_a_held_store_are_refused",
            f"{SECOND}test_of_two_that_start_at_the_same_instant_one_serves",
            f"{REPLACED}test_a_server_whose_files_are_replaced_stops_and_loses_nothing",
            f"{REPLACED}test_workers_whose_files_are_replaced_stop_and_lose_nothing",
            f"{REPLACED}test_a_second_server_takes_over_wholly",
            "trust/processes/test_fork.py::test_a_forked_child_is_refused_by_name_and_its_parent_goes_on",
        ),
        (
            f"{SECOND}test_a_lock_that_does_not_hold_is_found",
            f"{REPLACED}test_a_server_that_does_not_look_at_its_files_is_found",
        ),
    ),
    "hangs": Proof(
        (
            f"{HUNG}test_a_worker_that_hangs_with_the_write_lock_is_killed_and_others_go_on",
            f"{HUNG}test_a_worker_that_is_stopped_in_a_read_keeps_nobody_from_writing",
            f"{HUNG}test_slots_of_killed_readers_are_freed_in_hundreds",
        ),
    ),
    "clocks": Proof(
        (
            "trust/clocks/test_answers.py::test_answers_do_not_depend_on_the_wall_clock",
            "trust/clocks/test_bounds.py::test_retention_removes_nothing_early",
            f"{REAL}test_a_history_is_strictly_serialisable_whatever_the_wall_clock_does",
            f"{REAL}test_retention_removes_nothing_by_a_clock_that_jumped",
        ),
        ("trust/clocks/test_answers.py::test_times_that_follow_the_wall_clock_are_found",),
    ),
    "bytes": Proof(
        (
            f"{PARSERS}test_no_bytes_of_a_request_come_to_anything_but_an_answer_or_a_refusal",
            f"{WIRE}test_no_bytes_on_the_wire_end_starve_or_grow_the_server",
            f"{WIRE}test_a_path_that_is_no_text_ends_nothing",
            f"{CALLERS}test_a_good_client_is_served_meanwhile",
            f"{CALLERS}test_a_burst_over_one_channel_is_all_answered",
        ),
        (
            f"{PARSERS}test_a_fault_that_is_planted_is_found",
            f"{WIRE}test_a_fault_that_is_planted_into_the_server_is_found",
        ),
    ),
    "access": Proof(
        (
            "access/test_matrix.py::test_a_method_is_open_to_its_role_and_to_those_above",
            "access/test_matrix.py::test_no_method_takes_wrong_credentials",
            "access/test_matrix.py::test_a_service_without_a_row_stops_the_server",
            "access/test_serve.py::test_off_loopback_it_takes_both_certificates_and_who_calls",
            "access/test_tls.py::test_new_certificates_under_load_fail_no_call",
            "access/test_tokens.py::test_one_token_takes_over_from_another_without_a_refused_call",
        ),
    ),
}
"""By the promise's name, as the page marks its table."""


def named() -> list[str]:
    """Return all tests that hold a promise, each once."""
    return list(dict.fromkeys(test for each in PROOFS.values() for test in (*each.tests, *each.planted)))
