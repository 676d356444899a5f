"""What channels need of the stores, as narrow as they need it. `pipeline.storage` has the real ones."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from pipeline.events.references import Reference
from pipeline.events.vocabulary import Channel
from pipeline.storage.inbox import InboxItem


class DeviceRegistry(Protocol):
    """Forgets devices."""

    async def prune(
        self,
        user_id: str,
        device_id: str,
        reason: str,
        *,
        token: str | None = None,
        dead_since: float | None = None,
    ) -> object:
        """Delete the device, as long as `token` is still its token and it was not registered after `dead_since`."""


class Suppressions(Protocol):
    """The suppression list."""

    async def add(
        self,
        channel: Channel,
        user_id: str | None,
        address: str | None,
        stream: str,
        reason: str,
        expires_at: datetime | None = None,
    ) -> object:
        """Suppress `address` on `channel` for `stream`."""


class References(Protocol):
    """Where what a status record says of a notification waits for its receipts."""

    async def put(self, reference: Reference) -> None:
        """Keep it for as long as receipts may come.

        Raises:
            Unavailable: the store is away.
        """


class Inbox(Protocol):
    """The inboxes of all users."""

    async def add(self, items: Sequence[InboxItem]) -> Mapping[str, int]:
        """Add all; one that is there already stays as it is. Returns each id's place in its inbox.

        Raises:
            Unavailable: the store is away.
        """


class Broadcast(Protocol):
    """Publishes to connected clients."""

    async def publish(self, messages: Sequence[bytes]) -> object:
        """Publish all on the in-app channel.

        Raises:
            Unavailable: the broker is away.
        """
