"""Where things stand in a YAML file: from a path of keys and indices to a line."""

from collections.abc import Hashable, Iterator, Sequence

import yaml

Path = tuple[str | int, ...]


class Positions:
    """Line numbers (from 1) of every key and list item of one YAML document."""

    def __init__(self, root: yaml.Node) -> None:
        self._lines: dict[Path, int] = {(): root.start_mark.line + 1}
        self.duplicates: list[Path] = []
        """Keys that stand a second time in one mapping."""
        self._walk(root, ())

    def line(self, path: Sequence[str | int]) -> int:
        """The line of `path`, or of the nearest thing around it that the file holds."""
        return self._lines[self.present(path)]

    def present(self, path: Sequence[str | int]) -> Path:
        """The longest leading part of `path` that stands in the file."""
        known: Path = tuple(path)
        while known not in self._lines:
            known = known[:-1]
        return known

    def _walk(self, node: yaml.Node, path: Path) -> None:
        for key, line, value in _children(node):
            below = (*path, key)
            repeated = below in self._lines
            self._lines[below] = line
            if repeated:
                self.duplicates.append(below)
            else:
                self._walk(value, below)


def _children(node: yaml.Node) -> Iterator[tuple[str | int, int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield _key(key), key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield index, item.start_mark.line + 1, item


def _key(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node.value, Hashable) else str(node.start_mark)
