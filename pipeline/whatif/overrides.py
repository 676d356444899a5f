"""Settings of the candidate that differ from the present ones: those that bear on a decision, and no others."""

from collections.abc import Iterable

from pydantic import ValidationError

from pipeline.config import RouterSettings
from pipeline.errors import ConfigurationError

BEAR_ON_DECISIONS = ("unknown_types", "idempotency_retention")


def overridden(settings: RouterSettings, assignments: Iterable[str]) -> RouterSettings:
    """`settings` with each ``router.NAME=VALUE``.

    Raises:
        ConfigurationError: no such form, a setting that bears on no decision, or a value that it does not take.
    """
    values = settings.model_dump()
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        section, _, field = name.strip().rpartition(".")
        if not separator or section != "router" or field not in BEAR_ON_DECISIONS:
            known = ", ".join(f"router.{one}" for one in BEAR_ON_DECISIONS)
            raise ConfigurationError(f"--set {assignment!r}: write NAME=VALUE; what bears on a decision is {known}")
        values[field] = value.strip()
    try:
        return RouterSettings.model_validate(values)
    except ValidationError as error:
        problems = (f"--set router.{e['loc'][0]}: {e['msg']}" for e in error.errors())
        raise ConfigurationError("; ".join(problems)) from None
