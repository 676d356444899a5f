"""``python -m tests.chaos``: the whole line under load, while processes and servers are killed, stopped and paused.

Writes ``build/chaos.json``. Exit code 0 only if every event is accounted for and nothing was sent twice unflagged.
"""

import argparse
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec

from pipeline.embedded.line import Plan, open_line
from pipeline.embedded.stack import Stack
from pipeline.events.vocabulary import Status
from tests.chaos.evidence import evidence, suspects
from tests.chaos.faults import AWAY, CALM, ENDED, draw, possible_faults, revive
from tests.chaos.storm import Feed, Verdict, judge
from tests.line.rig import Rig

RESULTS = Path("build/chaos.json")
EVIDENCE = Path("build/chaos-evidence.txt")
"""What the topics say about whatever does not add up, and the faults with their times."""

SETTLE_WITHIN = 180.0
BETWEEN = (3.0, 7.0)
"""Seconds from one fault to the next."""

PLAN = Plan(
    simulators=("--delay-ms", f"{CALM.delay_ms:g}"),
    environment={"PIPELINE_DELIVERY__LEASE": "8", "PIPELINE_DELIVERY__PROVIDER_TIMEOUT": "5"},
)


class Results(msgspec.Struct, frozen=True):
    """``build/chaos.json``. `lost`: events without a decision; all else in notifications."""

    produced: int
    lost: int
    unaccounted: int
    duplicates_flagged: int
    duplicates_unflagged: int
    faults: int
    longest_stall_s: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long events are produced")
    parser.add_argument("--rate", type=float, default=300.0, help="events a second")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same events and faults")
    parser.add_argument(
        "--only", default="", help="a regular expression: faults of these names, as `(reset|late) providers`"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    told = list[str]()
    with Stack.open() as stack:
        _say(f"Kafka: {stack.broker.note}")
        line = open_line(stack, PLAN, say=_say)
        line.await_ready()
        rig = Rig(line)
        with Feed(rig, rate=options.rate, seconds=options.seconds, seed=options.seed) as feed:
            faults = _rage(rig, feed, random.Random(options.seed), options.only, told)
        _say(f"{feed.produced:,} events produced; waiting until all is quiet")
        faults += revive(list(line.services.values()))
        verdict = judge(rig, feed.produced, SETTLE_WITHIN)
        if not verdict.ok:
            EVIDENCE.parent.mkdir(exist_ok=True)
            EVIDENCE.write_text("\n".join([*told, *evidence(rig, verdict)]) + "\n")
    results = _results(verdict, feed.produced, faults)
    document = msgspec.json.format(msgspec.json.encode(results), indent=2)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(document + b"\n")
    sys.stdout.write(document.decode() + "\n" if options.json else _table(results, verdict, faults))
    sys.stderr.write(_findings(verdict))
    fell = [fault for fault in faults if ENDED in fault]
    sys.stderr.write("".join(f"{fault}: a service has to bear all of this\n" for fault in fell))
    return 0 if verdict.ok and not fell else 1


def _rage(rig: Rig, feed: Feed, rnd: random.Random, only: str, told: list[str]) -> list[str]:
    done: list[str] = []
    faults = {name: fault for name, fault in possible_faults(rig).items() if re.search(only, name)}
    while feed.running:
        time.sleep(rnd.uniform(*BETWEEN))
        name, fault = draw(faults, rnd)
        seconds = rnd.uniform(*AWAY)
        _say(f"{feed.produced:>8,} events: {name}")
        told.append(f"{time.time_ns() // 1_000_000} {name} begins")
        fault(seconds)
        told.append(f"{time.time_ns() // 1_000_000} {name} is over")
        done += [name, *revive(list(rig.line.services.values()))]
    return done


def _results(verdict: Verdict, produced: int, faults: list[str]) -> Results:
    balance = verdict.balance
    return Results(
        produced=produced,
        lost=verdict.lost,
        unaccounted=balance.unaccounted,
        duplicates_flagged=balance.duplicates_flagged,
        duplicates_unflagged=balance.duplicates_unflagged + len(verdict.unflagged),
        faults=len(faults),
        longest_stall_s=round(verdict.stall, 1),
    )


def _table(results: Results, verdict: Verdict, faults: list[str]) -> str:
    """A line for each figure; under the faults one for each kind."""
    balance = verdict.balance
    rows: list[tuple[str, object]] = [
        ("events produced", results.produced),
        ("notifications accepted", balance.accepted),
        ("  sent", balance.count(Status.SENT)),
        ("  ended otherwise", balance.terminal - balance.count(Status.SENT)),
        ("  waiting for a time or a person", balance.waiting),
        ("events lost", results.lost),
        ("notifications unaccounted", results.unaccounted),
        ("sent twice, flagged", results.duplicates_flagged),
        ("sent twice, unflagged", results.duplicates_unflagged),
        ("notifications once in doubt", verdict.in_doubt),
        ("accepted by a provider, untold", len(verdict.unsaid)),
        ("told as sent, seen by no provider", len(verdict.unsent)),
        ("longest stall, s", results.longest_stall_s),
        ("faults", results.faults),
        *((f"  {name}", count) for name, count in sorted(Counter(faults).items())),
    ]
    return "".join(f"{name:<40}{value:>10,}\n" for name, value in rows)


def _findings(verdict: Verdict) -> str:
    """What does not add up, or that all does."""
    if verdict.ok:
        return "all accounted for\n"
    some = "".join(f"  {kind}: {notification}\n" for notification, kind in suspects(verdict).items())
    return f"NOT ACCOUNTED FOR; {EVIDENCE} has what the topics say of these:\n{some}"


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
