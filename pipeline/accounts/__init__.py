"""The balance of all notifications, taken from the topics alone: accepted = terminal + waiting + in flight."""

from pipeline.accounts.balance import Balance, Offender, Outcome
from pipeline.accounts.take import take_balance

__all__ = ["Balance", "Offender", "Outcome", "take_balance"]
