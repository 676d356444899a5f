"""From the catalogue file to a `Catalogue`; every mistake is reported at once, with its line and what to change."""

from collections.abc import Iterable
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pipeline.catalogue import checks
from pipeline.catalogue.compile import Compiler
from pipeline.catalogue.document import (
    CapDocument,
    CatalogueDocument,
    CategoryDocument,
    DigestDocument,
    EscalationDocument,
    StepDocument,
    TypeDocument,
)
from pipeline.catalogue.model import Catalogue
from pipeline.catalogue.positions import Positions
from pipeline.errors import CatalogueError


def load_catalogue(path: Path) -> Catalogue:
    """Read, check and compile the catalogue file, and the schema files beside it.

    Raises:
        CatalogueError: it cannot be read or is wrong; one problem a line: ``file:line: where: what to change``.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError([f"{path}: the catalogue cannot be read: {error}; set catalogue.path"]) from None
    return parse_catalogue(text, path)


def parse_catalogue(text: str, path: Path) -> Catalogue:
    """Check and compile the text of a catalogue. `path` is where it stands, or would stand: schema files are beside it.

    Raises:
        CatalogueError: as `load_catalogue`.
    """
    raw, positions = _parse(text, path)
    report = _Reporter(path, positions)
    report.all((duplicate, "stands here a second time; keep one") for duplicate in positions.duplicates)
    document = _shape(raw, report)
    report.all(checks.problems(document))
    report.stop_if_any()
    compiler = Compiler(document, path.parent)
    catalogue = compiler.catalogue(raw)
    report.all(compiler.problems)
    report.stop_if_any()
    return catalogue


class _Reporter:
    """Collects problems, each with its line."""

    def __init__(self, path: Path, positions: Positions) -> None:
        self._path = path
        self._positions = positions
        self._problems: list[tuple[int, str]] = []

    def all(self, problems: Iterable[checks.Problem]) -> None:
        for where, text in problems:
            place = f"{dotted(self._positions.present(where))}: " if self._positions.present(where) else ""
            self._problems.append((self._positions.line(where), f"{place}{text}"))

    def stop_if_any(self) -> None:
        if self._problems:
            raise CatalogueError([f"{self._path}:{line}: {text}" for line, text in sorted(self._problems)])


def _parse(text: str, path: Path) -> tuple[object, Positions]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise CatalogueError([f"{path}:1: the catalogue is empty; it needs version, defaults and categories"])
        return yaml.safe_load(text), Positions(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise CatalogueError([f"{path}:{line}: no valid YAML: {error.problem}"]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CatalogueError([f"{path}:1: no valid YAML: {error}"]) from None


def _shape(raw: object, report: _Reporter) -> CatalogueDocument:
    try:
        return CatalogueDocument.model_validate(raw)
    except ValidationError as error:
        report.all((details["loc"], _explain(details)) for details in error.errors())
        report.stop_if_any()
        raise


def _explain(details: ErrorDetails) -> str:
    last = str(details["loc"][-1]) if details["loc"] else ""
    match details["type"]:
        case "extra_forbidden":
            return f"unknown key{checks.did_you_mean(last, _keys(details['loc'][:-1]))}"
        case "missing":
            return f"`{last}` is missing; add it"
        case "string_pattern_mismatch":
            return "use lower-case letters, digits, - and _ only"
    return details["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


def _keys(path: tuple[str | int, ...]) -> list[str]:
    model = _model(path)
    return [field.alias or name for name, field in model.model_fields.items()]


def _model(path: tuple[str | int, ...]) -> type[BaseModel]:
    """The part of the document that the mapping at `path` is."""
    match path:
        case (*_, "caps", int()):
            return CapDocument
        case (*_, "digest"):
            return DigestDocument
        case (*_, "escalate", int()):
            return EscalationDocument
        case (*_, "steps", int()):
            return StepDocument
        case ("categories", _):
            return CategoryDocument
        case ("defaults",) | ("event_types", _):
            return TypeDocument
    return CatalogueDocument


def dotted(path: Iterable[str | int]) -> str:
    """``event_types.order.shipped.caps[0].window``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
