"""Counts events from the first to the last and prints what they cost."""

import json
import os
import time


class Meter:
    """`tick` after each batch; ends the process when `expected` events are done."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._done = 0
        self._first = 0
        self._wall = 0.0
        self._cpu = 0.0

    def tick(self, events: int) -> None:
        self._done += events
        if not self._first:
            # the first batch carries the warm-up: what is measured begins after it
            self._first, self._wall, self._cpu = self._done, time.perf_counter(), time.process_time()
        elif self._done >= self._expected:
            self.report()

    def report(self) -> None:
        figures = {
            "events": self._done - self._first,
            "seconds": time.perf_counter() - self._wall,
            "cpu_seconds": time.process_time() - self._cpu,
        }
        os.write(1, (json.dumps(figures) + "\n").encode())
        os._exit(0)
