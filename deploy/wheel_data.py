"""Build hook: put the folders an SRE edits inside the wheel.

`templates/` and `runbooks/` live at the top of the repository, where people look for them, and travel as
`bot/data/templates` and `bot/data/runbooks`. An editable install gets no copy: two copies of a runbook on one
machine would drift apart, and the one being edited would not be the one in use.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = ("templates", "runbooks")


class WheelData(BuildHookInterface):
    """Adds each folder of FOLDERS that exists to the wheel. Promises nothing about what is in them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a build; `version` is "standard" for a wheel and "editable" for `pip install -e`."""
        if version == "editable":
            return
        for name in FOLDERS:
            folder = Path(self.root) / name
            if folder.is_dir():
                build_data["force_include"][str(folder)] = f"bot/data/{name}"
