#!/usr/bin/env python3
"""Runs a sweep's cells on all machines of a Ray cluster, or on the cores of this one.

    pip install ray
    python scripts/sweep-ray.py sweep.toml --output /shared/out --workers 8 --threads 4 --address auto

Every machine must see the output folder, the program, and the model, corpus and STS data at the same paths. Cells run by
the commands that `mirror sweep --cells` prints; those that follow from a choice of values run in a second round. What was
stopped goes on where it was when this is run again. At the end `mirror sweep --collect` makes the tables.
"""

import argparse
import json
import os
import subprocess
import sys

# Ray is not to report what runs here.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray


def run_cell(command: list[str], threads: int) -> tuple[int, str]:
    """One cell: its exit code, and what it said last."""
    done = subprocess.run(command + ["--threads", str(threads)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    return done.returncode, (lines or [""])[-1].removeprefix("error: ")


def ready(options: argparse.Namespace) -> list[dict]:
    """The cells that can run now."""
    command = [options.mirror, "sweep", options.config, "--output", options.output, "--cells"]
    listed = subprocess.run(command, capture_output=True, text=True)
    if listed.returncode:
        sys.stderr.write(listed.stderr)
        raise SystemExit(listed.returncode)
    return [json.loads(line) for line in listed.stdout.splitlines()]


def main() -> None:
    options = arguments()
    local = {} if options.address else {"num_cpus": options.workers * options.threads, "include_dashboard": False}
    ray.init(address=options.address, log_to_driver=False, **local)
    task = ray.remote(num_cpus=options.threads, max_retries=0)(run_cell)
    failed: dict[str, str] = {}
    while cells := [cell for cell in ready(options) if cell["cell"] not in failed]:
        running = {task.remote(cell["command"], options.threads): cell for cell in cells}
        while running:
            finished, _ = ray.wait(list(running))
            for done in finished:
                cell = running.pop(done)
                code, said = ray.get(done)
                print(f"{cell['about']}: {'done' if code == 0 else 'failed: ' + said}", file=sys.stderr, flush=True)
                if code:
                    failed[cell["cell"]] = said
    collected = subprocess.run([options.mirror, "sweep", "--collect", options.output]).returncode
    raise SystemExit(1 if failed else collected)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="TOML file of rows")
    parser.add_argument("--output", default="mirror-sweep", help="folder of cells and tables [mirror-sweep]")
    parser.add_argument("--workers", type=int, default=2, help="cells at a time, where there is no cluster [2]")
    parser.add_argument("--threads", type=int, default=1, help="threads of each cell [1]")
    parser.add_argument("--mirror", default="mirror", help="the program [mirror]")
    parser.add_argument("--address", help="the cluster's address, or auto [this machine alone]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
