"""Trained models kept between runs: the registry's database and artifacts in a cache folder, copied for each start.

What is copied stays valid, because MLflow serves the artifacts itself (`mlflow-artifacts:` addresses hold no path of
this machine).
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

DATABASE = "mlflow.db"
ARTIFACTS = "artifacts"
_SHAPED_BY = ("train.py", "data.py", "registry.py", "prepared.py")


def cache_key() -> str:
    """Changes whenever training could give something else: with our code, MLflow or scikit-learn."""
    content = hashlib.sha256()
    for name in _SHAPED_BY:
        content.update(Path(__file__).with_name(name).read_bytes())
    for package in ("mlflow", "scikit-learn"):
        content.update(f"{package}=={version(package)}\n".encode())
    return content.hexdigest()[:16]


def take(cache_dir: Path, folder: Path) -> bool:
    """Copy the prepared registry into `folder`; False when there is none. The copy is the caller's to change."""
    kept = cache_dir / cache_key()
    if not (kept / DATABASE).is_file():
        return False
    shutil.copyfile(kept / DATABASE, folder / DATABASE)
    shutil.copytree(kept / ARTIFACTS, folder / ARTIFACTS)
    return True


def keep(cache_dir: Path, folder: Path) -> None:
    """Put the registry in `folder` into the cache, complete or not at all; a running MLflow is not disturbed.

    Two runs may do this at once: the first to finish wins, both are right.
    """
    cache_dir.mkdir(parents=True, exist_ok=True)
    target = cache_dir / cache_key()
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=cache_dir))
    try:
        with closing(sqlite3.connect(folder / DATABASE)) as live, closing(sqlite3.connect(draft / DATABASE)) as copy:
            live.backup(copy)
        shutil.copytree(folder / ARTIFACTS, draft / ARTIFACTS)
        draft.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
