#!/usr/bin/env python3
"""Souk's local binary against another server, run by turns on this machine: medians and the ratio of CPU per request.

    compare.py --peer-command 'exec node dist/main.js' --peer-dir ../peer --peer-url http://127.0.0.1:7104 \\
        --peer-get '/products/{1..20000}' --peer-list '/products?limit=20' --at-least get=4,list=6

See README.md beside it.
"""

import argparse
import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import bench
import machine

ROOT = os.path.dirname(os.path.dirname(bench.HERE))
LOGIN = ("bench-runner", "a pass phrase for measuring")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(command, url, directory=None):
    """Runs a server in a process group of its own until the block ends; yields its process id once it answers.

    What it prints goes nowhere, on both sides alike, so that neither pays for a slow terminal."""
    process = subprocess.Popen(
        command, shell=True, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        end = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(url, timeout=2).close()
                break
            except urllib.error.HTTPError:  # an answer, whatever it says
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"it does not answer at {url}; run it by hand to see why: {command}")
                time.sleep(0.05)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextlib.contextmanager
def souk(options):
    """Souk on a fresh market of `options.products` products, the same every time."""
    with tempfile.TemporaryDirectory(prefix="souk-bench-") as data:
        binary, place = shlex.quote(options.souk), shlex.quote(data)
        print(f"seeding {options.products:,} products", file=sys.stderr)
        subprocess.run(
            f"{binary} seed --products {options.products} --seed 1 --data {place}",
            shell=True,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        url = f"http://127.0.0.1:{free_port()}"
        command = f"exec {binary} serve --listen {url.removeprefix('http://')} --data {place} --no-demo"
        with server(command, url + "/healthz") as pid:
            if set(options.scenarios) & set(bench.WRITES):
                name, password = LOGIN
                bench.Api(url).call(
                    "/v1/accounts", {"username": name, "email": f"{name}@example.com", "password": password}
                )
            yield bench.Target(
                "souk",
                url,
                pid,
                options.souk_get,
                options.souk_list,
                login=":".join(LOGIN),
                ids=options.products,
                search=options.souk_search,
            )


@contextlib.contextmanager
def peer(options):
    with server(options.peer_command, options.peer_url + options.peer_ready, options.peer_dir) as pid:
        yield bench.Target(
            options.peer_name,
            options.peer_url,
            pid,
            options.peer_get,
            options.peer_list,
            options.peer_create,
            options.peer_body,
            options.peer_header,
            search=options.peer_search,
        )


def floors(text):
    """`get=4,list=6` as a table."""
    return {name: float(value) for name, value in (part.split("=") for part in text.split(","))}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--souk", default=os.path.join(ROOT, "target/release/souk"), help="the binary, release build")
    parser.add_argument("--souk-get", metavar="PATH", help="default /v1/products/{id}")
    parser.add_argument("--souk-list", metavar="PATH", action="append", help="default /v1/products?limit=20")
    parser.add_argument("--souk-search", metavar="PATH", action="append", help="default /v1/search?q={lamp|oil lamp|…}")
    parser.add_argument("--products", type=int, default=20_000, help="to seed Souk with: as many as the peer has")
    parser.add_argument("--peer-command", required=True, help="a shell command that serves in the foreground")
    parser.add_argument("--peer-dir", help="where it runs")
    parser.add_argument("--peer-name", default="peer")
    parser.add_argument("--peer-url", required=True)
    parser.add_argument("--peer-ready", default="/", metavar="PATH", help="answers once the peer is up")
    parser.add_argument("--peer-get", required=True, metavar="PATH", help="such as /products/{1..20000}")
    parser.add_argument("--peer-list", required=True, metavar="PATH", action="append")
    parser.add_argument("--peer-search", metavar="PATH", action="append", help="such as /search?q={red|blue lamp}")
    parser.add_argument("--peer-create", metavar="PATH")
    parser.add_argument("--peer-body", help="of a creation, with {n} for a number of its own")
    parser.add_argument("--peer-header", action="append", default=[], help="sent with every request")
    parser.add_argument(
        "--at-least", type=floors, default={}, metavar="get=4,list=6", help="fail when a ratio is lower"
    )
    bench.add_load_options(parser, runs=5, scenarios=["get", "list"], connections=[16])
    options = parser.parse_args()
    if set(options.scenarios) & set(bench.WRITES) and not (options.peer_create and options.peer_body):
        parser.error("create and mixed need --peer-create and --peer-body")
    return options


def main():
    options = parse()
    bench.need_wrk()
    rows, ratios = [], []
    with souk(options) as ours, peer(options) as theirs:
        for scenario in options.scenarios:
            limit = bench.limit_of(options, scenario)
            for connections in options.connections:
                for target in (ours, theirs):
                    if options.warmup:
                        target.load(scenario, connections, options.warmup, limit)
                runs = {ours: [], theirs: []}
                for turn in range(options.runs):
                    if not machine.wait_for_quiet(machine.busy_seconds, 10):
                        print("the machine is busy with other work", file=sys.stderr)
                    for target in (ours, theirs):
                        runs[target].append(target.load(scenario, connections, options.seconds, limit))
                    print(
                        f"{scenario} at {connections}, turn {turn + 1}: "
                        + ", ".join(f"{target.name} {done[-1]['cpu_us']:.1f} CPU-µs" for target, done in runs.items()),
                        file=sys.stderr,
                        flush=True,
                    )
                pair = [
                    {
                        "server": target.name,
                        "scenario": scenario,
                        "connections": connections,
                        **bench.summary(done),
                        "runs": done,
                    }
                    for target, done in runs.items()
                ]
                rows += pair
                ratios.append(
                    {
                        "scenario": scenario,
                        "connections": connections,
                        "cpu_ratio": round(pair[1]["cpu_us"] / pair[0]["cpu_us"], 2),
                    }
                )
    print(bench.table(rows, [("server", "server", "{}"), *bench.COLUMNS]))
    failed = False
    for row in ratios:
        floor = options.at_least.get(row["scenario"])
        short = floor is not None and row["cpu_ratio"] < floor
        failed |= short
        verdict = "" if floor is None else f" (at least {floor:g} wanted{': TOO LITTLE' if short else ''})"
        where = f"{row['scenario']} at {row['connections']}"
        print(f"{where}: {options.peer_name} takes {row['cpu_ratio']:.1f} times Souk's CPU per request{verdict}")
    if wrong := sum(row["errors"] for row in rows):
        print(f"{wrong} requests failed: the figures mean nothing", file=sys.stderr)
        failed = True
    if options.json:
        with open(options.json, "w") as file:
            json.dump(
                {"cpus": os.cpu_count(), "products": options.products, "rows": rows, "ratios": ratios}, file, indent=1
            )
    sys.exit(failed)


if __name__ == "__main__":
    main()
