"""What a repository tells after it has written."""

from collections.abc import Awaitable, Callable, Collection

OnChange = Callable[[Collection[str]], Awaitable[None]]
"""Called with the ids of users whose snapshot changed, once that is committed: `UserDirectory.changed`."""
