"""Files that operators write beside the policy, such as the hosts file: YAML as the policy's, in the shape of a schema.

They are hostile until checked: nothing in them is evaluated, and of secrets they hold only the names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.faults import Faults
from engine.shape import check_shape_by
from engine.source import MOST_BYTES, Node, decode, parse


class OperatorFileWrong(Exception):
    """The file cannot be used. `faults` holds every fault, each on a line with its place and what to do."""

    def __init__(self, noun: str, path: Path, faults: tuple[str, ...]) -> None:
        self.path = path
        self.faults = faults
        super().__init__("\n".join([f"the {noun} file `{path}` cannot be used:", *faults]))


@dataclass(frozen=True, slots=True)
class OperatorFile:
    """One file, and what has been found wrong with it so far."""

    noun: str
    """What it is about, such as `hosts`."""
    variable: str
    """Of the environment: what names it."""
    path: Path
    faults: Faults = field(default_factory=Faults)

    def read(self, schema: Mapping[str, Any]) -> Node:
        """Return its tree, in the shape that the schema asks for. Raises OperatorFileWrong with every fault."""
        root = self._tree()
        if root is not None:
            check_shape_by(root, schema, self.faults)
        self.stop_at_faults()
        assert root is not None, "without a tree there is a fault"
        return root

    def stop_at_faults(self) -> None:
        """Raise OperatorFileWrong with every fault, when there is one."""
        lines = []
        for fault in self.faults.in_order():
            hint = f"; {fault.hint}" if fault.hint else ""
            lines.append(f"{fault.place.file}:{fault.place.line}:{fault.place.column}: {fault.message}{hint}")
        if lines:
            raise self.wrong(*lines)

    def wrong(self, *faults: str) -> OperatorFileWrong:
        """Return the error that tells these faults."""
        return OperatorFileWrong(self.noun, self.path, faults)

    def _tree(self) -> Node | None:
        try:
            if not self.path.is_file():  # a pipe would be waited on for ever
                raise self.wrong(f"there is no such file; set {self.variable} to the path of one")
            with self.path.open("rb") as stream:
                content = stream.read(MOST_BYTES + 1)
        except OSError as error:
            raise self.wrong(f"it cannot be read: {(error.strerror or 'input failed').lower()}") from None
        text = decode(str(self.path), content, self.faults)
        return None if text is None else parse(str(self.path), text, self.faults)


def read_schema(path: Path) -> dict[str, Any]:
    """Return a JSON Schema of ours."""
    schema: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return schema
