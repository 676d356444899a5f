"""What a simulator received, in bounded memory."""

from collections import Counter, OrderedDict

MAX_NOTIFICATIONS = 500_000
"""Notifications whose acceptances are remembered one by one; older ones stay in the totals."""


class Received:
    """Counts accepted requests by notification and recipient, and refused ones by what was wrong with them."""

    def __init__(self, limit: int = MAX_NOTIFICATIONS, *, also: "Received | None" = None) -> None:
        """`also` counts the same: what several providers of one channel received together."""
        self._also = also
        self.accepted = 0
        self.duplicates = 0
        """Acceptances beyond the first for the same notification and the same recipient."""
        self.refused: Counter[str] = Counter()
        self._limit = limit
        self._recipients: OrderedDict[str, Counter[int]] = OrderedDict()

    def accept(self, notification_id: str, recipient: str) -> None:
        """Count one acceptance; `recipient` (a token, an address) is kept as a hash only."""
        self.accepted += 1
        recipients = self._recipients.get(notification_id)
        if recipients is None:
            recipients = self._recipients[notification_id] = Counter()
            if len(self._recipients) > self._limit:
                self._recipients.popitem(last=False)
        key = hash(recipient)
        self.duplicates += recipients[key] > 0
        recipients[key] += 1
        if self._also:
            self._also.accept(notification_id, recipient)

    def refuse(self, why: str) -> None:
        self.refused[why] += 1
        if self._also:
            self._also.refuse(why)

    def by_notification(self) -> Counter[str]:
        """Acceptances of each notification, over all its recipients."""
        return Counter({notification: recipients.total() for notification, recipients in self._recipients.items()})

    def repeated(self) -> Counter[str]:
        """Notifications that a recipient was sent more than once, and how often beyond the first."""
        beyond = {n: recipients.total() - len(recipients) for n, recipients in self._recipients.items()}
        return Counter({notification: count for notification, count in beyond.items() if count})

    def summary(self) -> dict[str, object]:
        """Totals, for JSON."""
        return {
            "accepted": self.accepted,
            "notifications": len(self._recipients),
            "duplicates": self.duplicates,
            "refused": dict(self.refused),
        }

    def clear(self) -> None:
        """Forget everything."""
        self.accepted = self.duplicates = 0
        self.refused.clear()
        self._recipients.clear()
