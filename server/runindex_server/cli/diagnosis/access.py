"""Who may call: settings that fit together, certificates, tokens, the audit log."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from runindex_server.access.token_file import TokensRefused, load_tokens
from runindex_server.cli.access import tls_files
from runindex_server.cli.access_check import AccessRefused
from runindex_server.cli.diagnosis.certificate_times import Validity, validities_in
from runindex_server.cli.diagnosis.finding import Finding, gravest, ok, problem, warning
from runindex_server.cli.diagnosis.patient import Patient
from runindex_server.cli.settings_check import SettingRefused, check_settings
from runindex_server.cli.words import count_text
from runindex_server.rpc.address import InvalidAddress
from runindex_server.rpc.tls import Certificates, CertificatesRefused, TlsFiles

EXPIRY_WARNED: Final = timedelta(days=14)
"""How long before its end a certificate is told of."""

_FIT: Final = "the settings fit together"


def check_settings_fit(patient: Patient) -> Iterator[Finding]:
    """Tell whether `serve` takes the settings."""
    try:
        check_settings(patient.settings)
    except (AccessRefused, InvalidAddress, SettingRefused) as error:
        yield problem(" ".join(str(error).split()))
    else:
        yield ok(_FIT)


def check_certificate(patient: Patient) -> Iterator[Finding]:
    """Tell whether the certificates belong together, and how long they are good."""
    try:
        files = tls_files(patient.settings)
    except AccessRefused:  # Told of the settings.
        return
    if files is None:
        return
    try:
        Certificates(files)
        ends = {path: validities_in(path) for path in (files.cert, files.client_ca) if path is not None}
    except (CertificatesRefused, ValueError) as error:
        yield problem(str(error))
        return
    until = min(validity.end for validities in ends.values() for validity in validities)
    told = f"{files.cert} belongs to {files.key}; good until {_day(until)}"
    yield gravest(_faults_of_certificates(patient, files, ends), otherwise=told)


def _faults_of_certificates(
    patient: Patient, files: TlsFiles, ends: dict[Path, list[Validity]]
) -> Iterator[Finding]:
    now = _now(patient)
    for path, validities in ends.items():
        for validity in validities:
            if validity.end < now:
                yield problem(f"{path} is not good since {_day(validity.end)}; write a new one over it")
            elif validity.begin > now:
                yield problem(
                    f"{path} is good only from {_day(validity.begin)}; set the clock right, or wait"
                )
            elif validity.end < now + EXPIRY_WARNED:
                yield warning(f"{path} is good only until {_day(validity.end)}; write a new one over it")
    mode = files.key.stat().st_mode & 0o777
    if mode & 0o077:
        yield warning(
            f"{files.key} has the mode {mode:04o}, so that others can use it; close it: chmod 600 {files.key}"
        )


def check_tokens(patient: Patient) -> Iterator[Finding]:
    """Tell whether somebody can call with a token."""
    path = patient.settings.tokens_file
    if path is None:
        return
    try:
        tokens = load_tokens(path)
    except TokensRefused as error:
        yield problem(str(error))
        return
    now = _now(patient)
    expired = [token for token in tokens if token.expire_time is not None and token.expire_time <= now]
    live = len(tokens) - len(expired)
    if not live:
        yield warning(
            f"{path} has no token that is good, so that nobody can call with one; make one: "
            f"runindex-server token create --tokens-file {path}"
        )
    elif expired:
        names = ", ".join(dict.fromkeys(token.name for token in expired))
        yield warning(
            f"{path} has {count_text(live, 'token')}, and {len(expired):,} that expired, of {names}; "
            "make new ones, and revoke those"
        )
    else:
        yield ok(f"{path} has {count_text(live, 'token')}")


def check_audit_log(patient: Patient) -> Iterator[Finding]:
    """Tell whether the audit log can be written."""
    path = patient.settings.audit_log
    if path is None:
        return
    target = path if path.exists() else path.absolute().parent
    may_write = os.access(target, os.W_OK if target.is_file() else os.W_OK | os.X_OK, effective_ids=True)
    if path.is_dir():
        yield problem(f"{path} is a folder; name a file")
    elif not may_write:
        yield problem(f"{path} cannot be written: look at {target}, and whose it is")
    else:
        yield ok(f"{path} can be written")


def _now(patient: Patient) -> datetime:
    return datetime.fromtimestamp(patient.clock.now_us() / 1e6, UTC)


def _day(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
