"""Run every benchmark and print its tables: ``python -m bench [--quick]``."""

from __future__ import annotations

import subprocess
import sys

from bench import tables

BENCHMARKS = ("bench.judge", "bench.ledger", "bench.send_path")


def main() -> int:
    """Run the benchmarks one after the other, each in a process of its own."""
    print(tables.machine())
    codes = [subprocess.run([sys.executable, "-m", name, *sys.argv[1:]], check=False).returncode for name in BENCHMARKS]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
