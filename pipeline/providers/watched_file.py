"""A credential in a file that may be exchanged while the process runs."""

from pathlib import Path


class WatchedFile:
    """Tells whether a file differs from when it was last asked about: by time, size and inode."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether it is another file than at the last call. One that cannot be looked at has not changed."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        now = (status.st_mtime_ns, status.st_size, status.st_ino)
        changed, self._seen = now != self._seen, now
        return changed

    def forget(self) -> None:
        """Call it changed the next time, whatever it is: it could not be read."""
        self._seen = None
