"""`create`, `clone`, `templates` and `retention`: new runs, what they begin with, what is kept."""

import json
from datetime import timedelta

import pytest

from runindex import Client, DeleteAfter, KeepAll, KeepFor, KeepLatest
from runindex.cli.exits import EXIT_DECLINED, EXIT_NOT_FOUND, EXIT_REFUSED, EXIT_USAGE
from tests.clients.python_cli.conftest import Run, run_id
from tests.support.calls import UNKNOWN_ID
from tests.support.clock import DAY_US, HOUR_US, ManualClock

ONE, TWO, THREE, FOUR = (run_id(number) for number in range(1, 5))


def test_a_run_is_created_and_its_id_is_printed(run: Run, client: Client) -> None:
    assert run("create") == (0, f"{ONE}\n", "")
    code, out, err = run(
        "create",
        "--tag",
        "nightly",
        "--tag",
        "eu",
        "--metadata",
        '{"model": "small", "limits": {"steps": 50}}',
        "--set",
        "model=large",
        "--set",
        "attempt=2",
        "--set",
        "note=a=b",
        "--set",
        "empty=",
        "--parent",
        ONE[:13],
    )

    assert (code, out, err) == (0, f"{TWO}\n", "")
    made = client.get(TWO)
    assert made.tags == ("nightly", "eu")
    assert made.metadata == {
        "model": "large",
        "limits": {"steps": 50},
        "attempt": 2,
        "note": "a=b",
        "empty": "",
    }
    assert made.parent_run_id == ONE
    assert run("create", "--id", UNKNOWN_ID.upper()).out == f"{UNKNOWN_ID}\n"


def test_a_new_run_is_told_when_it_is_wanted(run: Run) -> None:
    assert run("create", "-o", "table").out.splitlines()[:2] == [f"Run        {ONE}", "State      active"]
    assert json.loads(run("create", "-o", "json", "--set", "a=1").out)["metadata"] == {"a": 1}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--metadata", "[1]"],
            "--metadata: '[1]' is no JSON object; --set KEY=VALUE sets a single field.\n",
        ),
        (["--metadata", "{"], "--metadata: '{' is no JSON object; --set KEY=VALUE sets a single field.\n"),
        (["--set", "model"], "--set: 'model' is not KEY=VALUE.\n"),
        (["--tag", "\udcff"], "'\\udcff' is no text in UTF-8.\n"),
        (["--parent", "x"], "'x' is no id of a run, nor a beginning of one of 4 characters or more.\n"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(run: Run, arguments: list[str], told: str) -> None:
    assert run("create", *arguments) == (EXIT_USAGE, "", told)


def test_what_the_server_refuses_is_told(run: Run) -> None:
    assert run("create", "--parent", UNKNOWN_ID) == (
        EXIT_NOT_FOUND,
        "",
        f"PARENT_RUN_NOT_FOUND: No run has the id {UNKNOWN_ID}, given as parent.\n",
    )
    run("create", "--id", ONE)
    assert run("create", "--id", ONE) == (
        EXIT_REFUSED,
        "",
        f"RUN_ALREADY_EXISTS: A run with the id {ONE} exists already.\n",
    )
    assert run("create", "--metadata", '{"a": NaN}')[:2] == (EXIT_REFUSED, "")


def test_a_run_is_copied(run: Run, client: Client) -> None:
    client.create(tags=["nightly"], metadata={"a": 1, "b": 2})

    assert run("clone", ONE[:13], "--set", "b=null", "--set", "c=3") == (0, f"{TWO}\n", "")
    copy = client.get(TWO)
    assert (copy.cloned_from, copy.tags, copy.metadata) == (ONE, ("nightly",), {"a": 1, "c": 3})
    assert run("clone", ONE, "--id", UNKNOWN_ID, "-o", "jsonl").out.startswith(f'{{"run_id": "{UNKNOWN_ID}"')
    assert run("clone", FOUR).code == EXIT_NOT_FOUND


# Templates.


@pytest.fixture
def templates(run: Run) -> None:
    """Write two templates."""
    put = ("templates", "put")
    assert (
        run(
            *put, "nightly", "--tag", "nightly", "--set", "model=large", "--retention", "delete_after=30d"
        ).code
        == 0
    )
    assert run(*put, "by-hand").code == 0


@pytest.mark.usefixtures("templates")
def test_templates_are_listed_and_told(run: Run, clock: ManualClock) -> None:
    clock.advance(2 * HOUR_US)

    assert run("templates", "list") == (
        0,
        (
            "template  version  changed  retention         tags\n"
            "by-hand         1  2 h ago  -\n"
            "nightly         1  2 h ago  delete_after=30d  nightly\n"
        ),
        "",
    )
    assert run("templates", "list", "n", "-o", "ids").out == "nightly\n"
    assert run("templates", "list", "x").err == "No templates.\n"
    assert run("templates", "get", "nightly", "by-hand").out == (
        "Template   nightly\n"
        "Tags       nightly\n"
        "Retention  delete_after=30d\n"
        "Created    2 h ago (2026-03-01 12:00:30 UTC)\n"
        "Changed    2 h ago (2026-03-01 12:00:30 UTC)\n"
        "Version    1\n"
        "Metadata   {\n"
        '             "model": "large"\n'
        "           }\n"
        "\n"
        "Template   by-hand\n"
        "Created    2 h ago (2026-03-01 12:00:30 UTC)\n"
        "Changed    2 h ago (2026-03-01 12:00:30 UTC)\n"
        "Version    1\n"
    )
    found = json.loads(run("templates", "get", "nightly", "-o", "json").out)
    assert found[0]["retention"] == {"kind": "delete_after", "duration": 30 * DAY_US / 1e6}


@pytest.mark.usefixtures("templates")
def test_runs_are_created_from_templates(run: Run, client: Client) -> None:
    code, out, err = run(
        "create", "--template", "nightly", "--tag", "eu", "--set", "model=null", "--id", UNKNOWN_ID
    )

    assert (code, out, err) == (0, f"{UNKNOWN_ID}\n", "")
    made = client.get(UNKNOWN_ID)
    assert (made.tags, made.metadata) == (("nightly", "eu"), {})
    assert run("create", "--template", "none") == (
        EXIT_NOT_FOUND,
        "",
        "TEMPLATE_NOT_FOUND: There is no template 'none'.\n",
    )


@pytest.mark.usefixtures("templates")
def test_a_template_is_replaced_whole_unless_it_must_be_new(run: Run, client: Client) -> None:
    assert run("templates", "put", "nightly", "-o", "ids") == (0, "nightly\n", "")
    assert client.templates.get("nightly").tags == ()
    assert run("templates", "put", "nightly", "--new") == (
        EXIT_REFUSED,
        "",
        "TEMPLATE_VERSION_MISMATCH: Template 'nightly' is at version 2, not 0; read it again.\n",
    )
    assert run("templates", "put", "new", "--new").out.startswith("Template   new\n")


@pytest.mark.usefixtures("templates")
def test_templates_are_deleted_after_asking(run: Run, client: Client) -> None:
    assert run("templates", "delete", "nightly") == (
        EXIT_USAGE,
        "",
        (
            "`templates delete` asks first, and there is no terminal to ask on: "
            "--yes does it, --dry-run shows what it would hit.\n"
        ),
    )
    table = (
        "template  version  changed  retention         tags\n"
        "nightly         1  now      delete_after=30d  nightly\n"
    )
    assert run("templates", "delete", "nightly", "--dry-run") == (0, table, "")
    assert run("templates", "delete", "nightly", can_ask=True, stdin="n\n") == (
        EXIT_DECLINED,
        "",
        f"{table}Delete this template? [y/N] Nothing was done.\n",
    )
    assert client.templates.get("nightly").version == 1
    code, out, err = run("templates", "delete", "nightly", "none", "by-hand", can_ask=True, stdin="y\n")
    assert (code, out) == (EXIT_NOT_FOUND, "deleted nightly\ndeleted by-hand\n")
    assert err.startswith("TEMPLATE_NOT_FOUND: There is no template 'none'.\n")
    assert err.endswith("Delete these 2 templates? [y/N] ")
    assert list(client.templates.all()) == []


@pytest.mark.usefixtures("templates")
def test_deleted_templates_are_told_to_programs(run: Run, client: Client) -> None:
    assert run("templates", "delete", "nightly", "--yes", "-o", "jsonl") == (
        0,
        '{"name": "nightly", "revision": 4}\n',
        "",
    )
    assert run("templates", "delete", "by-hand", "by-hand", "-y", "-o", "ids").out == "by-hand\n"
    assert run("templates", "delete", "by-hand", "-y", "-o", "json")[:2] == (EXIT_NOT_FOUND, "[]\n")


# Retention.


@pytest.mark.parametrize(
    ("policy", "told", "kept"),
    [
        ("keep_all", "keep_all", KeepAll()),
        ("keep_latest_n=10", "keep_latest_n=10", KeepLatest(10)),
        ("keep_duration=36h", "keep_duration=36h", KeepFor(timedelta(hours=36))),
        ("delete_after=14d", "delete_after=2w", DeleteAfter(timedelta(days=14))),
        ("delete_after=1.5s", "delete_after=1.5s", DeleteAfter(timedelta(seconds=1.5))),
        ("delete_after=0.5m", "delete_after=30s", DeleteAfter(timedelta(seconds=30))),
    ],
)
def test_retention_is_set_and_told(run: Run, client: Client, policy: str, told: str, kept: object) -> None:
    client.create()
    client.create()

    assert run("retention", "set", policy, ONE, TWO[:13]) == (
        0,
        f"set {policy} for {ONE}\nset {policy} for {TWO}\n",
        "",
    )
    assert (client.retention(ONE), client.retention(TWO)) == (kept, kept)
    assert run("retention", "get", ONE) == (
        0,
        f"run                                   retention\n{ONE}  {told}\n",
        "",
    )


@pytest.mark.parametrize(
    "policy",
    [
        "keep",
        "keep_all=1",
        "keep_latest_n",
        "keep_latest_n=-1",
        "keep_latest_n=x",
        "delete=1d",
        "delete_after=1y",
        "delete_after",
    ],
)
def test_a_policy_that_is_none_is_wrong_usage(run: Run, policy: str) -> None:
    assert run("retention", "set", policy, ONE) == (
        EXIT_USAGE,
        "",
        f"{policy!r} is no policy: keep_all, keep_latest_n=10, keep_duration=30d or delete_after=90d.\n",
    )


def test_retention_goes_on_with_others(run: Run, client: Client) -> None:
    client.create()
    missing = f"RUN_NOT_FOUND: No run has the id {UNKNOWN_ID}.\n"

    assert run("retention", "get", UNKNOWN_ID, ONE, "-o", "jsonl") == (
        EXIT_NOT_FOUND,
        f'{{"run_id": "{ONE}", "retention": {{"kind": "keep_all"}}}}\n',
        missing,
    )
    assert run("retention", "set", "keep_latest_n=3", UNKNOWN_ID, ONE, "-o", "ids") == (
        EXIT_NOT_FOUND,
        f"{ONE}\n",
        missing,
    )
    assert run("retention", "set", "keep_latest_n=0", ONE).code == EXIT_REFUSED
    assert run("retention", "get", "-", "-o", "json", stdin=ONE).out == (
        f'[\n  {{"run_id": "{ONE}", "retention": {{"kind": "keep_latest_n", "count": 3}}}}\n]\n'
    )
    assert run("retention", "get") == (0, "", "No runs.\n")
