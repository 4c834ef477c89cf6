"""Run every benchmark and print its tables: ``python -m bench [--quick]``. ``bench/RESULTS.md`` is such an output, kept."""

from __future__ import annotations

import argparse
import subprocess
import sys

from bench import tables

# benchmark -> arguments of a full run, arguments of a quick one
BENCHMARKS = {
    "bench.judge": (["--markdown"], ["--markdown", "--quick"]),
    "bench.ledger": ([], ["--records", "5000"]),
    "bench.send_path": ([], ["--quick"]),
}


def main() -> int:
    """Run the benchmarks one after the other, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, for trying")
    quick = parser.parse_args().quick
    print("# Results\n")
    print(f"`make bench` on {tables.machine()}. Trust ratios of one run, not single times.\n", flush=True)
    codes = [
        subprocess.run([sys.executable, "-m", name, *arguments[quick]], check=False).returncode
        for name, arguments in BENCHMARKS.items()
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
