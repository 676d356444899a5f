"""What waits: how it is kept, and how it is let go."""

from pydantic import Field

from pipeline.config.base import Seconds, Section


class PaceSettings(Section):
    """Notifications released a second at most, all schedulers together, for each channel; 0: no limit."""

    push: float = Field(1_000, ge=0, description="Push notifications a second.")
    email: float = Field(500, ge=0, description="E-mails a second.")
    sms: float = Field(100, ge=0, description="SMS a second.")
    in_app: float = Field(1_000, ge=0, description="In-app notifications a second.")


class SchedulerSettings(Section):
    """Everything that waits, in PostgreSQL."""

    pace: PaceSettings = PaceSettings()
    jitter: Seconds = Field(
        10, description="Over how long the ends of quiet hours are spread, by user; critical ones are not."
    )
    tick: Seconds = Field(0.2, gt=0, description="How often what is due is looked for.")
    batch: int = Field(500, ge=1, description="Notifications released or taken in at once, at most.")
    days_ahead: int = Field(7, ge=1, le=60, description="Daily partitions made ahead; what is due later waits apart.")
    retention: Seconds = Field(
        21_600, description="How long what is over is kept, to recognise a record of it that comes again."
    )
