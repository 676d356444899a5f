"""One compiled template file, and what a channel's template is: its compiled files by part."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Template, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipeline.errors import TemplateError
from pipeline.events.vocabulary import Channel

Context = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class CompiledFile:
    """A compiled file. `lines` maps compiled lines to source lines where a compiler stands between them."""

    path: Path
    template: Template
    lines: tuple[int, ...] = ()

    def render(self, context: Context) -> str:
        """Render.

        Raises:
            TemplateError: names file and line.
        """
        try:
            return self.template.render(context)
        except Exception as error:
            raise TemplateError(f"{self._where(error)}: {_why(error)}") from error

    def _where(self, error: BaseException) -> str:
        """File and line: of this file, or of the one it includes."""
        frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
        root = str(self.path.parent.parent.parent)
        file, line = next(((f, n) for f, n in reversed(frames) if f.startswith(root)), (str(self.path), 1))
        if file == str(self.path) and self.lines:
            line = self.lines[min(line, len(self.lines)) - 1]
        return f"{file}:{line}"


@dataclass(frozen=True, slots=True)
class ChannelTemplate:
    """All files of one template for one channel in one locale."""

    name: str
    channel: Channel
    locale: str
    files: Mapping[str, CompiledFile] = field(repr=False)

    def render(self, context: Context) -> dict[str, str]:
        """Render every part, by its name in `pipeline.templates.layout.PARTS`.

        Raises:
            TemplateError: names file and line.
        """
        return {part: file.render(context) for part, file in self.files.items()}


def compile_file(
    environment: ImmutableSandboxedEnvironment, path: Path, source: str, lines: tuple[int, ...] = ()
) -> CompiledFile:
    """Compile a Jinja source that stands in (or was made from) the file at `path`.

    Raises:
        jinja2.TemplateSyntaxError: with the line of `source`.
    """
    code = environment.compile(source, name=path.name, filename=str(path))
    plain_globals = dict(environment.globals)  # Jinja's own ChainMap makes each rendering 7 µs slower
    return CompiledFile(path, Template.from_code(environment, code, plain_globals), lines)


def _why(error: Exception) -> str:
    """Jinja's own messages name attributes; those of other errors may quote values, so only their type is told."""
    if isinstance(error, UndefinedError | SecurityError | TemplateSyntaxError):
        return str(error)
    return f"{type(error).__name__} while rendering"
