"""Where spans go. Off unless an endpoint is set."""

from pydantic import Field

from pipeline.config.base import Section


class TracingSettings(Section):
    """OpenTelemetry spans of each event on its way (the extra `otel`)."""

    endpoint: str = Field(
        "",
        description="OTLP over HTTP, as `http://collector:4318/v1/traces`. Empty: no spans, and no cost. Headers, time-outs "
        "and resource attributes: OpenTelemetry's own variables.",
    )
    sample: float = Field(
        1.0, ge=0, le=1, description="Share of the traces that begin here and are kept; one that came decided stays so."
    )
