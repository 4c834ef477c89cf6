"""Element's built interface, kept between test runs: `charter up --web` builds it only when `web/` has changed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "web"
CACHE = ROOT / ".cache" / "web"
KEEP = 2
_NOT_SOURCES = {"node_modules", "dist"}


def digest() -> str:
    """Return a digest of all that the build reads: the lock file, the configuration and the sources."""
    files = (path for path in SOURCES.rglob("*") if path.is_file())
    inputs = sorted(path for path in files if path.relative_to(SOURCES).parts[0] not in _NOT_SOURCES)
    summed = hashlib.sha256()
    for path in inputs:
        data = path.read_bytes()
        summed.update(f"{path.relative_to(SOURCES)}\0{len(data)}\0".encode() + data)
    return summed.hexdigest()[:24]


def restore(site: Path) -> bool:
    """Put the interface that was built from the present sources at `site`; False if there is none yet."""
    kept = CACHE / digest()
    if not (kept / "index.html").exists():
        return False
    shutil.copytree(kept, site)
    return True


def keep(site: Path) -> None:
    """Keep a built interface for the next run, and only the newest few."""
    kept = CACHE / digest()
    if kept.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    staged = CACHE / f"{kept.name}.new"
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(site, staged)
    staged.rename(kept)
    for old in sorted(CACHE.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEEP]:
        shutil.rmtree(old)
