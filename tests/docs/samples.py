"""Code that stands in a page of docs/, taken out so that it can be run as a reader would run it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FILE = re.compile(r"^```[a-z]+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files_in(page: str) -> dict[str, str]:
    """Name and content of every block that says which file it is."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return dict(_FILE.findall(text))


def unpack(page: str, folder: Path) -> list[Path]:
    """Write the page's files below a folder, as its reader would."""
    written = []
    for name, body in files_in(page).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, encoding="utf-8")
        written.append(path)
    return written
