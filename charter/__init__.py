"""Charter's pure core: the policy language and the judge."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("charter")
except PackageNotFoundError:  # pragma: no cover - run from a tree that was never installed
    __version__ = "0"

__all__ = ["__version__"]
