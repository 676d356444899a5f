"""Errors as RFC 9457 problem details, each naming by JSON pointer what is wrong."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Annotated

import msgspec

from pipeline.errors import PipelineError
from pipeline.events.canonical import Problem

CONTENT_TYPE = "application/problem+json"
MOST_ERRORS = 20
"""Errors told in one answer; further ones come to light once these are mended."""


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: a JSON pointer as a URI fragment (RFC 6901, section 6), and what to change."""

    pointer: str
    detail: str


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RFC 9457. `type` is always there; `errors` where single values of the request are wrong."""

    type: Annotated[str, msgspec.Meta(description="about:blank: `title` says it all")]
    title: str
    status: int
    detail: str
    errors: list[Fault] = []
    request_id: str = ""


class Refused(PipelineError):
    """A request is answered with `status` (400 to 599) and a problem document. `headers` go with the answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        problems: Iterable[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = [Fault(f"#{problem.pointer}", problem.text) for problem in problems][:MOST_ERRORS]
        self.headers = dict(headers or {})

    def document(self, request_id: str = "") -> ProblemDetails:
        return ProblemDetails(
            type="about:blank",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            errors=self.faults,
            request_id=request_id,
        )


def bad_request(problems: Iterable[Problem]) -> Refused:
    """400 for a body or a parameter that is wrong."""
    found = list(problems)
    where = ", ".join(problem.pointer or "the document" for problem in found[:3])
    return Refused(400, f"The request is not valid: see errors ({where}).", found)


def unavailable(what: str, retry_after: int = 1) -> Refused:
    """503: a server that is needed is away."""
    return Refused(503, f"{what} Try again later.", headers={"Retry-After": str(retry_after)})
