"""The console script `mlops-bot`, the same as `python -m bot`."""

from __future__ import annotations

import sys

from bot.cli import run


def main() -> None:
    """Run the command line and leave with its exit code: 0 fine, 1 found wrong, 2 wrong usage."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
