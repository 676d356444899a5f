"""``python -m bench [NAME …]``: every figure beside its peer; also written to ``build/bench.json``."""

import sys
from collections.abc import Callable

from bench import accounts, apns, failover, gateway, isolation, latency, router, sizes, smtp, store, worker
from bench.figures import Figure, keep, show

SUITES: dict[str, Callable[[], list[Figure]]] = {
    "router": router.run,
    "worker": worker.run,
    "apns": apns.run,
    "smtp": smtp.run,
    "e2e": latency.run,
    "isolation": isolation.run,
    "failover": failover.run,
    "gateway": gateway.run,
    "store": store.run,
    "accounts": accounts.run,
    "sizes": sizes.run,
}


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(SUITES))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(SUITES)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    for name in names or SUITES:
        print(f"measuring {name} …", flush=True)
        figures += SUITES[name]()
        keep(figures)
    show(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
