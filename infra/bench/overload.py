#!/usr/bin/env python3
"""What the local host does at five times the load that it can serve: reads and writes in an open loop, for --seconds.

    overload.py --souk target/release/souk --seconds 600

The server has one core, the clients the others. First it measures how many requests the server answers when 64 clients wait for
each answer (the peak); then five times as many are sent, whether or not they are answered; then half as many as the peak. Each
ten seconds it prints the requests per second that were answered well within a second, their times, what was refused and how
fast, what came late or broke, and the memory of the server. It ends with the figures to be judged: goodput against the peak."""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import free_port, server
from lean import PASSWORD, call

HERE = Path(__file__).resolve().parent


def requests(port, run):
    """Raw requests: 6 of 10 read lists, 2 products, 1 searches, and 1 edits or comments, by accounts of this run: the tokens of
    one before may have expired, as those of a run of ten minutes do at its end (`other`)."""
    accounts, own = [], []
    page = json.loads(call(port, "GET", "/v1/products?limit=100")[2])["items"]
    words = [item["title"].split()[0] for item in page]
    category = json.loads(call(port, "GET", "/v1/categories?limit=1")[2])["items"][0]["id"]
    for n in range(20):
        call(port, "POST", "/v1/accounts", {"username": f"{run}-{n}", "email": f"{run}{n}@example.com", "password": PASSWORD})
        session = json.loads(call(port, "POST", "/v1/sessions", {"username": f"{run}-{n}", "password": PASSWORD})[2])
        accounts.append(session["access_token"])
        for place in range(10):
            product = {"title": f"Load {n} {place}", "category": category, "price": {"amount": 100, "currency": "EUR"}}
            made = json.loads(call(port, "POST", "/v1/products", product, accounts[-1])[2])["id"]
            call(port, "POST", f"/v1/products/{made}/publish", token=accounts[-1])
            own.append((made, accounts[-1]))

    def raw(method, path, token=None, body=None):
        lines = [f"{method} {path} HTTP/1.1", "Host: souk"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        text = "" if body is None else json.dumps(body)
        lines += ["Content-Type: application/json", f"Content-Length: {len(text)}"] if text else []
        return "\r\n".join(lines) + "\r\n\r\n" + text

    dice = random.Random(1)
    for _ in range(5000):
        kind = dice.randrange(20)
        made, token = dice.choice(own)
        if kind < 12:
            sort = dice.choice(["newest", "price"])
            yield raw("GET", f"/v1/products?limit={dice.randrange(24, 101)}&sort={sort}&include=category,vendor,author")
        elif kind < 16:
            yield raw("GET", f"/v1/products/{dice.choice(page)['id']}?include=category,vendor,author")
        elif kind < 18:
            yield raw("GET", f"/v1/search?q={dice.choice(words)}&limit={dice.randrange(12, 49)}")
        elif kind < 19:
            yield raw("PATCH", f"/v1/products/{made}", token, {"description": f"edit {dice.random()}"})
        else:
            yield raw("POST", f"/v1/products/{made}/comments", token, {"body": f"comment {dice.random()}"})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--souk", default="target/release/souk")
    parser.add_argument("--products", type=int, default=5_000)
    parser.add_argument("--seconds", type=int, default=600)
    options = parser.parse_args()
    target = os.environ.get("CARGO_TARGET_DIR", HERE / "open-loop/target")
    build = ["cargo", "build", "--release", "--quiet", "--manifest-path", HERE / "open-loop/Cargo.toml", "--target-dir", target]
    subprocess.run(build, check=True)
    with tempfile.TemporaryDirectory(prefix="souk-bench-") as place:
        seed = [options.souk, "seed", "--products", str(options.products), "--data", f"{place}/market"]
        subprocess.run(seed, check=True, stdout=subprocess.DEVNULL)
        port = free_port()
        os.environ.update(SOUK_CACHE="off", SOUK_LIMITS="off", SOUK_LOG="error")
        command = f"exec taskset -c 0 {options.souk} serve --no-demo --listen 127.0.0.1:{port} --data {place}/market"
        with server(command, f"http://127.0.0.1:{port}/healthz") as pid:
            def run(name, rate, seconds):
                Path(place, "requests").write_text("\n%%\n".join(requests(port, name)), newline="")
                client = ["taskset", "-c", "1", f"{target}/release/open-loop", f"127.0.0.1:{port}", f"{place}/requests"]
                rows = []
                with subprocess.Popen([*client, str(rate), str(seconds)], stdout=subprocess.PIPE, text=True) as process:
                    for line in process.stdout:
                        row = json.loads(line)
                        with open(f"/proc/{pid}/status", encoding="ascii") as file:
                            row["MB"] = next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) // 1024
                        rows.append(row)
                        print(f"{name:<10} {json.dumps(row)}", flush=True)
                return rows

            peak = statistics.median(row["well"] for row in run("peak", 0, 20))
            loaded = run("overload", 5 * peak, options.seconds)
            after = run("after", peak / 2, 30)
    good = statistics.median(row["well"] for row in loaded)
    print(f"peak {peak:.0f}/s; at five times that {good:.0f}/s were answered well ({good / peak:.0%}), at worst "
          f"{min(row['well'] for row in loaded):.0f}/s; memory {loaded[0]['MB']} MB first and {loaded[-1]['MB']} MB last; afterwards "
          f"{after[0]['well'] / (peak / 2):.0%}, {after[-1]['well'] / (peak / 2):.0%} of what was sent was answered well")


if __name__ == "__main__":
    sys.exit(main())
