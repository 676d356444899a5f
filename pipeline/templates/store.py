"""All templates, compiled when a process starts; a broken one stops it there, with file and line."""

from collections.abc import Collection, Iterator
from pathlib import Path

from jinja2 import TemplateSyntaxError

from pipeline.errors import CatalogueError, TemplateError
from pipeline.events.vocabulary import Channel
from pipeline.templates.environment import html_environment, text_environment
from pipeline.templates.layout import PARTS, Part, canonical_locale, fallbacks, latest_versions
from pipeline.templates.mail import MailSource, MailSourceError, compile_mail
from pipeline.templates.rendering import ChannelTemplate, CompiledFile, compile_file

_Key = tuple[str, Channel, str]


class TemplateStore:
    """Finds the compiled template for a name, a channel and a locale."""

    def __init__(self, templates: dict[_Key, ChannelTemplate]) -> None:
        self._templates = templates
        self._latest = latest_versions(name for name, _, _ in templates)

    def __iter__(self) -> Iterator[ChannelTemplate]:
        return iter(self._templates.values())

    @classmethod
    def load(cls, root: Path, channels: Collection[Channel] = tuple(Channel)) -> "TemplateStore":
        """Compile every template of the `channels` under `root`.

        Raises:
            CatalogueError: with all problems there are, one line each: file, line, what to change.
        """
        if not root.is_dir():
            raise CatalogueError([f"{root}: no such folder; set catalogue.templates to where the templates are"])
        loader = _Loader(root, channels)
        templates = {(t.name, t.channel, t.locale): t for t in loader.load()}
        if loader.problems:
            raise CatalogueError(loader.problems)
        return cls(templates)

    def find(self, name: str, channel: Channel, locale: str | None) -> ChannelTemplate:
        """The template in the best locale there is (`pipeline.templates.layout.fallbacks`).

        A name without a version is the latest one (`pipeline.templates.layout.latest_versions`).

        Raises:
            TemplateError: there is none for this channel.
        """
        version = self._latest.get(name, name)
        for candidate in fallbacks(locale):
            if template := self._templates.get((version, channel, candidate)):
                return template
        raise TemplateError(f"template {name!r} has no {channel} part for locale {locale or 'default'}")


class _Loader:
    def __init__(self, root: Path, channels: Collection[Channel]) -> None:
        self.problems: list[str] = []
        self._root = root
        self._channels = channels
        self._html = html_environment(root)
        self._text = text_environment(root)

    def load(self) -> Iterator[ChannelTemplate]:
        for folder in sorted(path for path in self._root.glob("*/*") if path.is_dir()):
            for channel in self._channels:
                yield from self._load_channel(folder, channel)

    def _load_channel(self, folder: Path, channel: Channel) -> Iterator[ChannelTemplate]:
        present = [part for part in PARTS[channel] if (folder / part.file).is_file()]
        if not present:
            return
        for part in PARTS[channel]:
            if part.required and part not in present:
                self.problems.append(f"{folder / part.file}:1: missing; the other files of {channel} are there")
        files = self._compile(folder, present)
        yield ChannelTemplate(folder.parent.name, channel, canonical_locale(folder.name), files)

    def _compile(self, folder: Path, parts: list[Part]) -> dict[str, CompiledFile]:
        files: dict[str, CompiledFile] = {}
        for part in parts:
            path = folder / part.file
            try:
                files |= self._compile_part(path, part)
            except MailSourceError as error:
                self.problems += [f"{path}:{line}: {what}" for line, what in error.mistakes]
            except TemplateSyntaxError as error:
                self.problems.append(f"{path}:{error.lineno}: {error.message}")
            except UnicodeDecodeError:
                self.problems.append(f"{path}:1: not UTF-8; save it as UTF-8")
        return files

    def _compile_part(self, path: Path, part: Part) -> dict[str, CompiledFile]:
        source = path.read_text("utf-8")
        if path.suffix != ".mjml":
            return {part.name: compile_file(self._text, path, source)}
        mail = compile_mail(source)
        html = self._compile_html(path, mail)
        return {part.name: html, "text": compile_file(self._text, path, mail.text)}

    def _compile_html(self, path: Path, mail: MailSource) -> CompiledFile:
        try:
            return compile_file(self._html, path, mail.html, mail.html_lines)
        except TemplateSyntaxError as error:
            error.lineno = mail.html_lines[min(error.lineno, len(mail.html_lines)) - 1]
            raise
