"""``python -m pipeline.testing``: the simulators as a process of their own.

Prints one line of JSON, the environment for ``pipeline`` commands; `CONTROL_VARIABLE` in it is the address of the
control endpoint. Runs until SIGINT or SIGTERM.
"""

import argparse
import asyncio
import json
import signal
import sys

import uvloop

from pipeline.testing.behaviour import Behaviour, Fault
from pipeline.testing.control import CONTROL_VARIABLE, Control
from pipeline.testing.providers import Providers
from pipeline.testing.smtp import KEPT_MAILS


async def serve(behaviour: Behaviour, seed: int, keep_mails: int = KEPT_MAILS, receipts_to: str = "") -> None:
    """Run until a signal asks to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    simulated = Providers(behaviour, seed, keep_mails=keep_mails, receipts_to=receipts_to)
    async with simulated as providers, Control(providers) as control:
        sys.stdout.write(json.dumps({**providers.environment(), CONTROL_VARIABLE: control.url}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.testing", description=__doc__)
    parser.add_argument("--error-rate", type=float, default=0.0, help="share of requests that fail for a while (0..1)")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="mean time to answer, exponentially distributed")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same faults")
    parser.add_argument("--keep-mails", type=int, default=KEPT_MAILS, help="how many of the latest mails are kept")
    parser.add_argument(
        "--receipts-to", default="", help="gateway that is told by signed webhooks what became of messages"
    )
    options = parser.parse_args()
    faults = {Fault.UNAVAILABLE: options.error_rate} if options.error_rate else {}
    behaviour = Behaviour(delay_ms=options.delay_ms, delay="exponential", faults=faults)
    uvloop.run(serve(behaviour, options.seed, options.keep_mails, options.receipts_to))


if __name__ == "__main__":
    main()
