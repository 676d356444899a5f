"""The HTTP gateway."""

from pydantic import Field, SecretStr, field_validator, model_validator

from pipeline.config.base import Seconds, Section

MIN_HS256_SECRET = 32
"""Bytes: RFC 7518, section 3.2, asks for a key at least as long as the hash."""


class JwtSettings(Section):
    """Tokens of end users. Without a secret and a JWKS address no end user gets in."""

    hs256_secret: SecretStr = Field(SecretStr(""), description="Shared secret for HS256, 32 bytes or more.")
    jwks_url: str = Field("", description="Where the public keys for RS256 and ES256 are (JWKS).")
    audience: str = Field("notifications", description="What `aud` must name.")
    issuer: str = Field("", description="What `iss` must be; empty: not looked at.")
    leeway: Seconds = Field(10, description="How far clocks may differ.")
    jwks_ttl: Seconds = Field(300, description="How long fetched keys are used before they are fetched again.")
    jwks_cooldown: Seconds = Field(5, description="Least time between two fetches, whatever key ids tokens name.")

    @field_validator("hs256_secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value().encode()) < MIN_HS256_SECRET:
            raise ValueError(f"has less than {MIN_HS256_SECRET} bytes; make one with: openssl rand -base64 48")
        return secret


class GatewaySettings(Section):
    """The HTTP gateway's public side."""

    host: str = Field("127.0.0.1", description="Address that the public listener binds.")
    port: int = Field(8080, ge=0, le=65535, description="Its port; 0: any free port.")
    max_body_bytes: int = Field(4_194_304, ge=1024, description="Longest request body; longer ones get 413.")
    max_batch: int = Field(500, ge=1, description="Most events in one request; more get 413.")
    max_in_flight: int = Field(2_000, ge=1, description="Requests under way at once; more get 503 with Retry-After.")
    max_in_flight_bytes: int = Field(
        67_108_864, ge=1024, description="Bytes of the bodies under way at once; more get 503 with Retry-After."
    )
    body_timeout: Seconds = Field(10, description="How long a request's body may take to come in.")
    ack_timeout: Seconds = Field(3, description="How long Kafka's acknowledgement is waited for before 503.")
    explain_timeout: Seconds = Field(10, description="How long an event's timeline may take to be read.")
    key_cache: Seconds = Field(2, description="How long an API key is trusted before it is looked up again.")
    user_rate: float = Field(20, gt=0, description="Requests a second of one end user.")
    user_burst: int = Field(40, ge=1, description="Requests that an end user may make at once.")
    users_change_addresses: bool = Field(
        True, description="Whether end users may change their own e-mail address and phone number."
    )
    cors_origins: str = Field("", description="Comma-separated origins that browsers may call from; empty: none.")
    jwt: JwtSettings = JwtSettings()

    @field_validator("cors_origins")
    @classmethod
    def _no_wildcard(cls, origins: str) -> str:
        if "*" in origins:
            raise ValueError("name each origin, like https://app.example.com; a wildcard would let any site in")
        return origins

    @model_validator(mode="after")
    def _one_body_fits(self) -> "GatewaySettings":
        if self.max_in_flight_bytes < self.max_body_bytes:
            raise ValueError("max_in_flight_bytes is less than max_body_bytes: no body could be that long")
        return self

    @property
    def origins(self) -> frozenset[str]:
        """`cors_origins`, one by one."""
        return frozenset(origin.strip() for origin in self.cors_origins.split(",") if origin.strip())
