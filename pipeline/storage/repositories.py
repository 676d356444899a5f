"""The repositories that write what snapshots show, over one pool."""

from dataclasses import dataclass
from typing import Self

from pipeline.storage.changes import OnChange
from pipeline.storage.devices import MAX_PER_USER, DeviceRegistry
from pipeline.storage.postgres import Pool
from pipeline.storage.preferences import Preferences
from pipeline.storage.suppressions import Suppressions
from pipeline.storage.users import Users


@dataclass(frozen=True, slots=True)
class Repositories:
    """Each tells `on_change` whose snapshot it changed."""

    users: Users
    preferences: Preferences
    devices: DeviceRegistry
    suppressions: Suppressions

    @classmethod
    def over(cls, pool: Pool, on_change: OnChange, *, max_devices: int = MAX_PER_USER) -> Self:
        """`max_devices`: ``devices.max_per_user``."""
        return cls(
            Users(pool, on_change),
            Preferences(pool, on_change),
            DeviceRegistry(pool, on_change, max_per_user=max_devices),
            Suppressions(pool, on_change),
        )
