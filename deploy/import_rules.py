"""A kind of contract for import-linter: "these modules may import only that".

Import-linter's own contracts name what is forbidden; a dependency or a module that nobody thought of passes. Here what
is not named is forbidden. The standard library, and a module's own parts, are always allowed.
"""

import sys
from fnmatch import fnmatchcase
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class Only(Contract):
    """Fields: `modules` the rule is about, `but_not` those of them it is not, `may_import` (patterns as in a shell).

    A name stands for a module and everything below it. Names of modules that do not exist are no error: the rule waits
    for them. Looks at direct imports only; what an allowed module imports is that module's affair.
    """

    type_name = "only"

    modules = fields.ListField(subfield=fields.StringField())
    may_import = fields.ListField(subfield=fields.StringField())
    but_not = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001 - given by import-linter
        """Find every import in the graph that the rule does not allow."""
        broken = [
            (importer, imported)
            for importer in sorted(graph.modules)
            if self._is_bound(importer)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not self._is_allowed(importer, imported)
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken, "lines": _lines(graph, broken)})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each import that breaks the rule."""
        for importer, imported in check.metadata["broken"]:
            lines = check.metadata["lines"][importer, imported]
            output.print_error(f"{importer} may not import {imported} (line {lines})", bold=False)
        output.print(f"Allowed here: the standard library, {', '.join(self.may_import)}.")  # type: ignore[attr-defined]

    def _is_bound(self, module: str) -> bool:
        return _is_under(module, self.modules) and not _is_under(module, self.but_not or [])

    def _is_allowed(self, importer: str, imported: str) -> bool:
        if imported.split(".", maxsplit=1)[0] in sys.stdlib_module_names:
            return True
        return _is_under(imported, [importer]) or _is_under(imported, self.may_import)


def _is_under(module: str, names: Any) -> bool:
    return any(fnmatchcase(module, name) or fnmatchcase(module, f"{name}.*") for name in names)


def _lines(graph: ImportGraph, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    return {
        (importer, imported): ", ".join(
            str(detail["line_number"]) for detail in graph.get_import_details(importer=importer, imported=imported)
        )
        for importer, imported in pairs
    }
