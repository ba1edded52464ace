"""What an operator can set: each setting is a field here, a flag of `serve` and an environment variable.

`docs/reference/configuration.md` is rendered from here.
"""

from pathlib import Path
from typing import Final, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from runindex_server import limits

GIB = 1024**3

WORKERS_MAX: Final = 64
"""All snapshots that so many processes have open at one time are fewer than LMDB keeps slots for."""


class Settings(BaseSettings):
    """The server's settings. A flag stands over the environment, and that over the default."""

    model_config = SettingsConfigDict(env_prefix="RUNINDEX_", frozen=True, extra="ignore")

    address: str = Field(
        default="127.0.0.1:50051",
        description="Where to listen: host:port; port 0 takes a free one.",
    )
    data_dir: Path = Field(
        default=Path("data"), description="The folder of the store. Created when it does not exist."
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=WORKERS_MAX,
        description="Processes that serve the store, at most 64. A supervisor keeps several of them going.",
    )
    insecure_allow_remote: bool = Field(
        default=False,
        description="Whether to listen on an address that other machines reach, although nobody is asked who "
        "they are, or what they send can be read on the way.",
    )
    tls_cert: Path | None = Field(
        default=None,
        description="The server's certificate, as PEM, followed by those between it and its authority's. "
        "With it the server speaks TLS only. Read again when it changes.",
    )
    tls_key: Path | None = Field(default=None, description="The private key of the certificate, as PEM.")
    tls_client_ca: Path | None = Field(
        default=None,
        description="Certificates of authorities, as PEM. With it callers must show a certificate of one.",
    )
    certificate_roles: str = Field(
        default="",
        description="What callers may do by a name in their certificate: `name=role,name=role`. Names are "
        "those of the subject's alternative names; roles are `reader`, `writer` and `admin`.",
    )
    tokens_file: Path | None = Field(
        default=None,
        description="The file of tokens, which `runindex-server token` changes. With it callers must show a "
        "token, or a certificate with a role. Read again when it changes.",
    )
    audit_log: Path | None = Field(
        default=None,
        description="Where to write down each call that changes something, or is refused: a JSON object a "
        "line.",
    )
    calls_per_s: float = Field(
        default=0,
        ge=0,
        description="How many calls a caller may make of one worker in a second, and at once after a pause; "
        "0 for any number.",
    )
    metrics_address: str | None = Field(
        default=None,
        description="Where figures are told to Prometheus, over HTTP: host:port. Worker 1 listens at the "
        "next port, and so on.",
    )
    traces: bool = Field(
        default=False,
        description="Whether to send a trace of each call by OpenTelemetry, to where its own variables say, "
        "such as `OTEL_EXPORTER_OTLP_ENDPOINT`. Takes the extra `opentelemetry`.",
    )
    map_bytes: int = Field(
        default=64 * GIB,
        ge=16 * 1024**2,
        description="Address space of the store, and so its largest size in bytes. It takes no disk.",
    )
    search_budget_records: int = Field(
        default=limits.SEARCH_BUDGET_RECORDS,
        ge=1,
        description="Candidate records that one search examines before it stops and says `truncated`.",
    )
    request_id_retention_s: int = Field(
        default=limits.REQUEST_ID_RETENTION_S_MIN,
        ge=limits.REQUEST_ID_RETENTION_S_MIN,
        description="How long answers are remembered for request ids, in seconds.",
    )
    default_retention: str = Field(
        default="keep_all",
        description="What acts on runs without a retention policy of their own: `keep_all`, "
        "`keep_latest_n=10`, `keep_duration=30d` or `delete_after=90d` (in `s`, `m`, `h`, `d` or `w`).",
    )
    retention_interval_s: int = Field(
        default=limits.RETENTION_INTERVAL_S,
        ge=0,
        description="From one compaction, which enforces retention, to the next, in seconds; 0 for none but "
        "those that are asked for.",
    )
    drain_s: float = Field(
        default=20.0,
        ge=0,
        description="How long calls under way may take to finish when the server stops, in seconds.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="What is logged: this and all that is graver."
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="How it is logged: an object a line, or text for a person."
    )
