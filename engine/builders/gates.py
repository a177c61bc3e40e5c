"""Gates: what hangs on states, and has to cover all of them."""

from __future__ import annotations

from collections.abc import Iterable

from engine.builders.draft import Draft, MachineDraft, each, entries
from engine.builders.guards import GuardReader
from engine.faults import listed, meant, shown
from engine.model import SERVER_BILLING_STATES, Place
from engine.model_gates import Also, Gates
from engine.source import Node

Row = tuple[str, Node, Node]


# ---- gates -----------------------------------------------------------------------------------------------------------


class GatesReader:
    """Reads gates.yaml and checks that no cell is missing."""

    def __init__(self, draft: Draft, guards: GuardReader) -> None:
        self.draft = draft
        self.guards = guards
        self.places: dict[str, Place] = {}
        self.denies: set[tuple[str, str]] = set()  # columns with at least one denial
        self.unjudged: set[str] = set()  # machines whose matrix could not be read whole

    def read(self) -> Gates | None:
        """Return the gates as far as they could be read."""
        root = self.draft.tree("gates")
        if root is None:
            return None
        if any(part is not None and part.hurt for part in (root.get("account"), root.get("server"))):
            self.draft.names["action"].complete = False
        account = self._account(root)
        server = self._server(root)
        codes = self._codes(root)
        also = [self._also(node) for node in each(root.get("also"))]
        actors = root.get("actors")
        may_also = {
            name: frozenset(action.text for action in each(actor.get("may_also")) if self.draft.known("action", action))
            for name, _, actor in entries(actors)
        }
        return Gates(account, server, codes, self.places, tuple(each_ for each_ in also if each_ is not None), may_also)

    def _account(self, root: Node) -> dict[str, dict[tuple[str, str], bool]]:
        section = root.get("account")
        if section is None or section.kind != "map":
            return {}
        rows: dict[str, dict[tuple[str, str], bool]] = {}
        matrices: list[tuple[str, Node, Node, list[str] | None]] = []
        for name, key, matrix in section.pairs():
            machine = self.draft.machines.get(name)
            if machine is None or machine.of != "account":
                if machine is not None:
                    self.draft.fault(
                        "M307",
                        key,
                        f"`{name}` is of each server; account actions ask account machines",
                        "see `server:`",
                    )
                else:
                    self.draft.known("machine", key, name)
                continue
            columns = self._columns(matrix, machine.states, machine)
            if columns is None:
                self.unjudged.add(name)
            matrices.append((name, key, matrix, columns))
            for action, row_key, _ in _rows(matrix):
                self._declare(action, row_key)
                rows.setdefault(action, {})
        for name, key, matrix, columns in matrices:
            for action, cells in rows.items():
                if action not in matrix.entries and not matrix.hurt:
                    self.draft.fault(
                        "M360",
                        key,
                        f"`{action}` has no row for machine `{name}`",
                        "add the row: no action may go unjudged",
                    )
                    self.unjudged.add(name)
                elif action in matrix.entries and columns is not None:
                    verdicts = self._cells(action, matrix.entries[action], columns)
                    self.unjudged |= {name} if not verdicts else set()
                    cells.update({(name, state): allow for state, allow in verdicts.items()})
                    self.denies |= {(name, state) for state, allow in verdicts.items() if not allow}
        self._unrestricted(root, section, rows)
        return self._in_order(rows)

    def _in_order(self, rows: dict[str, dict[tuple[str, str], bool]]) -> dict[str, dict[tuple[str, str], bool]]:
        """Put the cells in the order of the machines, as the first that denies gives the code."""
        order = {name: index for index, name in enumerate(self.draft.machines)}
        return {
            action: dict(sorted(cells.items(), key=lambda cell: order[cell[0][0]])) for action, cells in rows.items()
        }

    def _unrestricted(self, root: Node, section: Node, rows: dict[str, dict[tuple[str, str], bool]]) -> None:
        listed_here = {}
        for node in each(root.get("unrestricted")):
            if self.draft.known("machine", node):
                listed_here[node.text] = node
        for name, machine in self.draft.machines.items():
            if machine.of != "account":
                continue
            if name in listed_here and name in section.entries:
                self.draft.fault(
                    "M362", listed_here[name], f"machine `{name}` is unrestricted and has a matrix", "keep one"
                )
            elif name in listed_here:
                for cells in rows.values():
                    cells.update({(name, state): True for state in machine.states})
            elif name not in section.entries:
                hint = f"add its matrix, or list it: `unrestricted: [{name}]`"
                self.draft.fault("M362", root.key("account"), f"machine `{name}` has no gates", hint)

    def _server(self, root: Node) -> dict[str, dict[str, bool]]:
        matrix = root.get("server")
        if matrix is None or matrix.kind != "map":
            return {}
        columns = self._columns(matrix, SERVER_BILLING_STATES, None)
        found = {}
        for action, key, row in _rows(matrix):
            if action in self.places:
                self.draft.fault("M365", key, f"`{action}` is an action on an account already", "judge it in one place")
            self._declare(action, key)
            if columns is not None:
                found[action] = self._cells(action, (key, row), columns)
        return found

    def _columns(self, matrix: Node, states: tuple[str, ...], machine: MachineDraft | None) -> list[str] | None:
        """Return the columns of a matrix; None when they are not exactly the states."""
        columns = matrix.get("columns")
        if columns is None or columns.hurt or (machine is not None and not machine.states_known):
            return None
        fine = True
        whose = f"machine `{machine.name}`" if machine is not None else "a server's billing"
        for column in columns.items:
            if column.text not in states:
                self.draft.fault(
                    "M361", column, f"{whose} has no state `{shown(column.text)}`", meant(column.text, states)
                )
                fine = False
        missing = [state for state in states if state not in {column.text for column in columns.items}]
        if missing:
            self.draft.fault(
                "M360", matrix.key("columns"), f"no column for {listed(missing)}", "add it, with a verdict in each row"
            )
            fine = False
        return [column.text for column in columns.items] if fine else None

    def _cells(self, action: str, row: tuple[Node, Node], columns: list[str]) -> dict[str, bool]:
        key, cells = row
        if cells.hurt:
            return {}
        if len(cells.items) < len(columns):
            rest = listed(columns[len(cells.items) :])
            self.draft.fault("M360", key, f"`{action}` has no verdict for {rest}", "add yes or no")
            return {}
        if len(cells.items) > len(columns):
            extra = cells.items[len(columns)]
            self.draft.fault(
                "M361", extra, f"`{action}` has a verdict more than there are columns", "remove it, or add the column"
            )
            return {}
        return {column: cell.text == "yes" for column, cell in zip(columns, cells.items, strict=True)}

    def _declare(self, action: str, key: Node) -> None:
        self.draft.names["action"].nodes.setdefault(action, key)
        self.places.setdefault(action, key.place)

    def _codes(self, root: Node) -> dict[tuple[str, str], str]:
        found = {}
        codes = root.get("codes")
        account = root.get("account")
        whole = account is not None and not account.hurt
        for name, key, code in entries(codes):
            rung = self.draft.rung(key, name)
            if rung is None or code.hurt:
                continue
            found[rung] = code.text
            if whole and rung not in self.denies and rung[0] not in self.unjudged:
                self.draft.fault("M364", key, f"nothing is denied in `{name}`", "remove the code, or deny something")
        for machine, state in sorted(self.denies - found.keys()):
            if codes is not None and not codes.hurt:
                hint = f"add `{machine}.{state}: A_CODE` under `codes:`"
                self.draft.fault("M363", root.key("codes"), f"what is denied in `{machine}.{state}` has no code", hint)
        return found

    def _also(self, node: Node) -> Also | None:
        action, deny, when = node.entries["action"][1], node.entries["deny"][1], node.entries["when"][1]
        guard = self.guards.read(when, None)
        return (
            Also(action.text, deny.text, guard, action.place)
            if self.draft.known("action", action) and guard is not None
            else None
        )


def _rows(matrix: Node) -> Iterable[Row]:
    return [entry for entry in entries(matrix) if entry[0] != "columns"]
