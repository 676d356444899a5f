"""``python -m tests.models.storms FIRST LAST``: storms by seed; says which fail, and how. Exit code 0 only if none does."""

import argparse
import logging
import sys

from tests.models.simulation import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.models.storms", description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    failed = 0
    for seed in range(options.first, options.last):
        for forgetful in (False, True):
            try:
                simulate(seed, forgetful=forgetful)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is what the seed has shown
                failed += 1
                sys.stdout.write(f"seed {seed}, forgetful {forgetful}: {type(error).__name__}: {str(error)[:500]}\n")
    sys.stdout.write(f"{2 * (options.last - options.first)} storms, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
