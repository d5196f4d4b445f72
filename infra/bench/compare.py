#!/usr/bin/env python3
"""Souk's local binary or its Worker against another server, run by turns on this machine: medians and the ratio of CPU per
request.

    compare.py --peer-command 'exec node dist/main.js' --peer-dir ../peer --peer-url http://127.0.0.1:7104 \\
        --peer-get '/products/{1..20000}' --peer-list '/products?limit=20' --at-least get=4,list=6

See README.md beside it.
"""

import argparse
import contextlib
import json
import math
import os
import shlex
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid

import bench
import machine
import workerd

ROOT = os.path.dirname(os.path.dirname(bench.HERE))
# One address asks more than one may. Set it to `on` to measure what limits cost.
os.environ.setdefault("SOUK_LIMITS", "off")
TOOLS = os.environ.get("SOUK_TOOLS", os.path.expanduser("~/.cache/souk"))
WORKERD = f"{TOOLS}/npm/node_modules/@cloudflare/workerd-linux-64/bin/workerd"
PASSWORD = "a pass phrase for measuring"


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
def market(options):
    """The folder of a fresh market of `options.products` products, the same every time, and whatever else is needed to serve it."""
    with tempfile.TemporaryDirectory(prefix="souk-bench-") as place:
        print(f"seeding {options.products:,} products", file=sys.stderr)
        command = [options.souk, "seed", "--products", str(options.products), "--seed", "1", "--data", f"{place}/market"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        if options.worker:
            prepare_worker(place)
        yield place


def prepare_worker(place):
    """Writes a configuration for plain workerd, with the market in its databases."""
    dump, port = f"{place}/dump.json", free_port()
    state = shlex.quote(f"{place}/state")
    command = f"MINIFLARE_WORKERD_CONFIG_DEBUG={shlex.quote(dump)} exec {ROOT}/infra/worker-dev --no-build {port} {state}"
    with server(command, f"http://127.0.0.1:{port}/healthz"):
        pass
    sources = {"documents": "souk.db", "fts": "search.db"}
    for folder, _, files in os.walk(f"{place}/state/v3/d1"):
        for path in (os.path.join(folder, name) for name in files if name.endswith(".sqlite")):
            with contextlib.closing(sqlite3.connect(path)) as database:
                tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
            for source in (sources[table] for table in tables & set(sources)):
                with contextlib.closing(sqlite3.connect(f"{place}/market/{source}")) as database:
                    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                for rest in ("-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path + rest)
                shutil.copyfile(f"{place}/market/{source}", path)
    workerd.main(dump, f"{place}/worker", port)
    with open(f"{place}/port", "w") as file:
        file.write(str(port))


@contextlib.contextmanager
def souk(options, place, ids=None):
    if options.worker:
        with open(f"{place}/port") as file:
            url = f"http://127.0.0.1:{file.read()}"
        command = f"exec {shlex.quote(options.workerd)} serve --experimental {shlex.quote(place)}/worker/config.capnp"
    else:
        url = f"http://127.0.0.1:{free_port()}"
        data = shlex.quote(f"{place}/market")
        listen = url.removeprefix("http://")
        command = f"exec {shlex.quote(options.souk)} serve --listen {listen} --data {data} --no-demo"
    # Each start has an account of its own: the market keeps those of the starts before.
    name = f"bench-{uuid.uuid4().hex[:12]}"
    with server(command, url + "/healthz") as pid:
        if set(options.scenarios) & set(bench.WRITES):
            bench.Api(url).call("/v1/accounts", {"username": name, "email": f"{name}@example.com", "password": PASSWORD})
        target = bench.Target(
            "souk",
            url,
            pid,
            options.souk_get,
            options.souk_list,
            login=f"{name}:{PASSWORD}",
            ids=options.products,
            search=options.souk_search,
        )
        target.found = ids
        yield target


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
    parser.add_argument("--worker", action="store_true", help="measure the Worker that infra/worker-build has built instead")
    parser.add_argument("--workerd", default=WORKERD, help="the workerd that serves it")
    parser.add_argument("--starts", type=int, default=1, help="how often both are started anew; --runs is for each start")
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


def measure(options, scenario, connections, targets, runs, start):
    """Adds `options.runs` turns to `runs`, a list for each target.

    They warm up by turns too, so that both have rested for as long: who has been idle costs more at first."""
    limit = bench.limit_of(options, scenario)
    warmups = math.ceil(options.warmup / options.seconds)
    for turn in range(-warmups, options.runs):
        if turn >= 0 and not machine.wait_for_quiet(machine.busy_seconds, 10):
            print("the machine is busy with other work", file=sys.stderr)
        loads = [target.load(scenario, connections, options.seconds, limit) for target in targets]
        if turn < 0:
            continue
        for load, done in zip(loads, runs):
            done.append(load)
        spent = ", ".join(f"{target.name} {load['cpu_us']:.1f} CPU-µs" for target, load in zip(targets, loads))
        print(f"{scenario} at {connections}, start {start + 1}, turn {turn + 1}: {spent}", file=sys.stderr, flush=True)


def main():
    options = parse()
    bench.need_wrk()
    # The runs of both sides, in the order they were made, by scenario and connections.
    measured = {(scenario, at): ([], []) for scenario in options.scenarios for at in options.connections}
    with market(options) as place:
        # By a process of its own: the peer is asked for no pages of a hundred before it is measured.
        with souk(options, place) as ours:
            ids = ours.known()
        for start in range(options.starts):
            with souk(options, place, ids) as ours, peer(options) as theirs:
                for (scenario, connections), runs in measured.items():
                    measure(options, scenario, connections, (ours, theirs), runs, start)
    rows, ratios = [], []
    for (scenario, connections), runs in measured.items():
        for name, done in zip(("souk", options.peer_name), runs):
            row = {"server": name, "scenario": scenario, "connections": connections}
            rows.append({**row, **bench.summary(done), "runs": done})
        ours, theirs = ([run["cpu_us"] for run in side] for side in runs)
        ratios.append(
            {
                "scenario": scenario,
                "connections": connections,
                "cpu_ratio": round(statistics.median(theirs) / statistics.median(ours), 2),
                "turn_ratio": round(statistics.median(b / a for a, b in zip(ours, theirs)), 2),
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
        turns = f"{row['turn_ratio']:.2f} by the median of the turns' own ratios"
        print(f"{where}: {options.peer_name} takes {row['cpu_ratio']:.2f} times Souk's CPU per request, {turns}{verdict}")
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
