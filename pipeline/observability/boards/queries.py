"""PromQL that panels have in common."""

from collections.abc import Sequence

from pipeline.observability.boards.panels import RATE, Query


def _in(selector: str) -> str:
    return f"{{{selector}}}" if selector else ""


def rate(name: str, by: str = "", selector: str = "") -> Query:
    """How often a second, added up over all processes, for each value of the labels `by`."""
    expression = f"rate({name}{_in(selector)}[{RATE}])"
    labels = [label.strip() for label in by.split(",") if label.strip()]
    legend = " ".join(f"{{{{{label}}}}}" for label in labels)
    return Query(f"sum by ({by}) ({expression})" if by else f"sum({expression})", legend)


def most(name: str, by: str, selector: str = "") -> Query:
    """The largest that any process tells, for each value of the labels `by`."""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(","))
    return Query(f"max by ({by}) ({name}{_in(selector)})", legend)


def total(name: str, by: str = "", selector: str = "") -> Query:
    """What all processes tell, added up."""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",")) if by else ""
    return Query(f"sum by ({by}) ({name}{_in(selector)})" if by else f"sum({name}{_in(selector)})", legend)


def share(part: str, whole: str, by: str = "", legend: str = "") -> Query:
    """`part` of `whole`, both selectors of counters, as a rate."""
    grouping = f" by ({by})" if by else ""
    return Query(f"sum{grouping} (rate({part}[{RATE}])) / sum{grouping} (rate({whole}[{RATE}]))", legend)


def percentiles(
    histogram: str, by: str = "", selector: str = "", quantiles: Sequence[float] = (0.5, 0.99)
) -> list[Query]:
    """Percentiles of a histogram, one query each."""
    labels = [label.strip() for label in by.split(",") if label.strip()]
    named = "".join(f" {{{{{label}}}}}" for label in labels)
    grouping = ", ".join(["le", *labels])
    buckets = f"sum by ({grouping}) (rate({histogram}_bucket{_in(selector)}[{RATE}]))"
    return [Query(f"histogram_quantile({q}, {buckets})", f"p{q * 100:g}{named}") for q in quantiles]
