"""The live channel to browsers and apps."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from pipeline.config.base import Seconds, Section


class RealtimeSettings(Section):
    """Socket.IO, SSE and long polling. Tokens are verified as `gateway.jwt` says."""

    host: str = Field("127.0.0.1", description="Address that the public listener binds.")
    port: int = Field(8081, ge=0, le=65535, description="Its port; 0: any free port.")
    origins: str = Field(
        "",
        description="Comma-separated origins of pages that may connect, beside the one that serves them and "
        "`http.public_url`'s.",
    )
    max_connections: int = Field(20_000, ge=1, description="Connections of one instance; more get 503.")
    max_connections_per_user: int = Field(
        100, ge=1, description="Connections of one user to one instance; more get 429."
    )
    queue: int = Field(1_000, ge=100, description="Events that may wait for one client.")
    queue_bytes: int = Field(1_048_576, ge=1024, description="Their bytes, together.")
    send_timeout: Seconds = Field(15, gt=0, description="How long a client may take nothing in before it is cut off.")
    heartbeat: Seconds = Field(15, gt=0, description="How often an idle client is sent something.")
    heartbeat_timeout: Seconds = Field(20, gt=0, description="How long a Socket.IO client may leave that unanswered.")
    poll_timeout: Seconds = Field(25, gt=0, description="Longest wait of a long poll.")
    sweep: Seconds = Field(
        30, gt=0, description="How often the inboxes of connected clients are compared with what the clients have."
    )
    presence: Seconds = Field(45, gt=1, description="How long a client counts as connected without being seen again.")
    presence_memory: Seconds = Field(86_400, gt=0, description="How long it is remembered when a user was there last.")
    drain_timeout: Seconds = Field(10, description="How long a stop may take to send the clients to other instances.")
    drain_rate: float = Field(500, gt=0, description="Clients sent away in a second, unless that takes too long.")
    development: bool = Field(False, description="Serve the example page at `/`. Not for production.")

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, origins: str) -> str:
        for origin in _split(origins):
            parts = urlsplit(origin)
            if "*" in origin or parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
                raise ValueError(f"{origin!r}: name each origin, like https://app.example.com; there is no wildcard")
        return origins

    @property
    def allowed_origins(self) -> frozenset[str]:
        """`origins`, one by one."""
        return frozenset(_split(self.origins))


def _split(origins: str) -> list[str]:
    return [origin.strip() for origin in origins.split(",") if origin.strip()]
