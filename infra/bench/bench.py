#!/usr/bin/env python3
"""Closed-loop load against a running host: req/s, latency, CPU per request, memory.

See README.md beside it. For example:

bench.py --url http://127.0.0.1:8787 --pid 4711 --login layla:secret --json result.json
"""

import argparse
import json
import os
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import machine

HERE = os.path.dirname(os.path.abspath(__file__))
SCENARIOS = ("get", "list", "search", "create", "mixed", "upvote", "comment", "jobs")
WRITES = ("create", "mixed", "upvote", "comment")
# How many messages one run of `jobs` works off, and the jobs that get the event of a vote.
MESSAGES = 20_000
JOBS = ("community.upvotes", "operators.log")
# Words of seeded products, alone and together.
WORDS = (
    "{lamp|oil lamp|brass|city bike|glass|painted|rare steel|kettle|istanbul|wooden chair|silver ring|carpet|vintage|"
    "copper kettle|linen|camera|leather bag|ceramic bowl|signed|radio}"
)
BODY = {
    "title": "Bench lamp {n}",
    "description": "Hand-beaten brass with a linen shade, made to be created again and again. " * 3,
    "category": "{category}",
    "price": {"amount": 1250, "currency": "EUR"},
    "tags": ["bench", "lamp", "brass"],
}


class Api:
    """The few calls that prepare a run."""

    def __init__(self, url):
        self.url = url.rstrip("/")

    def call(self, path, body=None, headers=()):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Accept": "application/json", **dict(headers)})
        if data is not None:
            request.add_header("Content-Type", "application/json")
            request.add_header("Idempotency-Key", str(uuid.uuid4()))
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace")
            sys.exit(f"{request.get_method()} {path} answered {error.code}: {said}")
        except OSError as error:
            sys.exit(f"{self.url}{path}: {error}")

    def ids(self, count):
        """The ids of up to `count` products, for at most a minute."""
        found, cursor, end = [], None, time.monotonic() + 60
        while len(found) < count and time.monotonic() < end:
            query = {"limit": 100, **({"cursor": cursor} if cursor else {})}
            page = self.call("/v1/products?" + urllib.parse.urlencode(query))
            found += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
            if not cursor:
                break
        return found[:count] or sys.exit("there are no products to get: seed some first")

    def category(self):
        """A category whose products need no attributes of its own."""
        for item in self.call("/v1/categories?limit=100")["items"]:
            if not any(attribute.get("required") for attribute in item.get("attributes") or ()):
                return item["id"]
        sys.exit("every category has required attributes: name one without by --body")

    def sign_in(self, login):
        name, _, password = login.partition(":")
        key = "email" if "@" in name else "username"
        return self.call("/v1/sessions", {key: name, "password": password})["access_token"]


def expand(template, ids=()):
    """The paths that a template stands for: `{id}` is every known id, `{1..9}` every number of the range, `{red|blue}` each."""
    if "{id}" in template:
        return [template.replace("{id}", urllib.parse.quote(name, safe="")) for name in ids]
    words = re.search(r"\{([^{}]*\|[^{}]*)\}", template)
    if words:
        start, end = words.span()
        return [template[:start] + urllib.parse.quote(word) + template[end:] for word in words[1].split("|")]
    span = re.search(r"\{(\d+)\.\.(\d+)\}", template)
    if not span:
        return [template]
    return [template[: span.start()] + str(n) + template[span.end() :] for n in range(int(span[1]), int(span[2]) + 1)]


class Target:
    """One server under test: where it is, what to ask of it, and whose CPU to count."""

    def __init__(
        self, name, url, pid=None, get=None, lists=None, create=None, body=None, headers=(), login=None, ids=20_000,
        search=None,
    ):
        self.name, self.url, self.pid, self.login = name, url.rstrip("/"), pid, login
        self.api, self.headers, self.create = Api(url), list(headers), create or "/v1/products"
        self.get, self.lists = get or "/v1/products/{id}", lists or ["/v1/products?limit=20"]
        self.search = search or [f"/v1/search?q={WORDS}"]
        self.ids, self.body = ids, body
        self.reads = self.found = None

    def known(self):
        """The ids of products to draw from, looked up once."""
        if self.found is None:
            self.found = self.api.ids(self.ids)
        return self.found

    def plan(self, scenario):
        """Writes the file for load.lua. Reads are looked up once, a token for each file: it lives for minutes only."""
        if self.reads is None:
            ids = self.known() if "{id}" in self.get + "".join(self.lists) else ()
            self.reads = {
                "get": expand(self.get, ids),
                "list": [path for text in self.lists for path in expand(text, ids)],
                "search": [path for text in self.search for path in expand(text, ids)],
            }
        lines = [(kind, path) for kind, paths in self.reads.items() for path in paths]
        lines += [("header", header) for header in self.headers]
        if scenario in WRITES:
            if self.body is None:
                self.body = json.dumps(BODY).replace("{category}", self.api.category())
            lines += [("create", self.create), ("body", self.body), ("create-header", "Content-Type: application/json")]
            if scenario in ("upvote", "comment"):
                paths = expand("/v1/products/{id}", self.known())
                lines += [("vote", f"{path}/upvote") for path in paths]
                lines += [("comment", f"{path}/comments") for path in paths]
            if scenario == "comment":
                lines.append(("body", json.dumps({"body": "Is the shade linen, and does it ship to Lisbon? {n}"})))
            if self.login:
                lines.append(("create-header", f"Authorization: Bearer {self.api.sign_in(self.login)}"))
        # Such a file is readable by its owner alone, as a token must be.
        file = tempfile.NamedTemporaryFile("w", prefix="bench-", suffix=".plan", delete=False)
        with file:
            file.writelines(f"{kind}\t{text}\n" for kind, text in lines)
        return file.name

    def load(self, scenario, connections, seconds, limit):
        """One run of wrk: its figures, and what the server and the machine spent meanwhile."""
        plan = self.plan(scenario)
        if self.pid:  # what an earlier run left behind must not be counted here
            machine.wait_for_quiet(lambda: machine.cpu_seconds(self.pid), 30)
        command = f"wrk -t1 -c{connections} -d{seconds}s --timeout 10s -s".split()
        command += [f"{HERE}/load.lua", self.url, scenario, plan, uuid.uuid4().hex[:12], str(limit)]
        server, busy, own = self.pid and machine.cpu_seconds(self.pid), machine.busy_seconds(), os.times()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
        finally:
            os.unlink(plan)
        result = re.search(r"^RESULT (.*)$", done.stdout, re.M)
        if not result:
            sys.exit(f"wrk did not finish: {done.stdout}{done.stderr}")
        r = json.loads(result[1])
        now, requests, elapsed = os.times(), max(1, r["requests"]), r["seconds"]
        client = now.children_user + now.children_system - own.children_user - own.children_system
        spent = machine.cpu_seconds(self.pid) - server if self.pid else None
        other = machine.busy_seconds() - busy - client - spent if self.pid else None
        whole = spent
        if self.pid and scenario in WRITES:  # what follows from the requests is part of their cost
            machine.wait_for_quiet(lambda: machine.cpu_seconds(self.pid), 120)
            whole = machine.cpu_seconds(self.pid) - server
        return {
            "rps": r["requests"] / elapsed,
            "p50_ms": r["p50_ms"],
            "p99_ms": r["p99_ms"],
            "cpu_us": whole / requests * 1e6 if self.pid else None,
            "server_cores": spent / elapsed if self.pid else None,
            "client_cores": client / elapsed,
            "other_cores": max(0.0, other) / elapsed if self.pid else None,
            "rss_mb": machine.rss_mb(self.pid) if self.pid else None,
            "bytes": r["bytes"] / requests,
            "requests": r["requests"],
            "errors": r["refused"] + r["broken"] + r["timed_out"],
        }


    def work(self, data):
        """One run of `jobs`: messages as votes make them, put into the queue of the local host's folder, until all are
        done. A message is what a request is elsewhere."""
        queue = sqlite3.connect(f"{data}/queue.db", timeout=30)
        count = "SELECT count(*) FROM messages"
        store = sqlite3.connect(f"file:{data}/souk.db?mode=ro", uri=True)
        dead = "SELECT count(*) FROM documents WHERE pk = 'dead/default'"
        died = store.execute(dead).fetchone()[0]
        machine.wait_for_quiet(lambda: machine.cpu_seconds(self.pid), 30)
        with queue:
            queue.executemany("INSERT INTO messages (lane, due, message) VALUES ('default', ?, ?)", votes(self.known()))
        # The server looks twice a second for what other processes send.
        while queue.execute(count).fetchone()[0] >= MESSAGES:
            time.sleep(0.001)
        began, server, busy = time.monotonic(), machine.cpu_seconds(self.pid), machine.busy_seconds()
        left = done = queue.execute(count).fetchone()[0]
        while left:
            time.sleep(0.02)
            left = queue.execute(count).fetchone()[0]
            if time.monotonic() - began > 300:
                sys.exit(f"{left} messages are still there after five minutes")
        elapsed, spent = time.monotonic() - began, machine.cpu_seconds(self.pid) - server
        return {
            "rps": done / elapsed,
            "p50_ms": None,
            "p99_ms": None,
            "cpu_us": spent / done * 1e6,
            "server_cores": spent / elapsed,
            "client_cores": None,
            "other_cores": max(0.0, machine.busy_seconds() - busy - spent) / elapsed,
            "rss_mb": machine.rss_mb(self.pid),
            "bytes": None,
            "requests": done,
            "errors": store.execute(dead).fetchone()[0] - died,
        }


def votes(products):
    """Messages of `upvote.added`, for the jobs that get it, as rows of the queue: by turns for all products."""
    now = time.time()
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    for n in range(MESSAGES // len(JOBS)):
        event = {
            "id": f"evt_{int(now * 1000):012x}{uuid.uuid4().hex[:20]}",
            "type": "upvote.added",
            "version": 1,
            "timestamp": at,
            "actor": None,
            "trace": None,
            "data": {"product": products[n % len(products)], "account": f"acc_{n:032x}", "created_at": at},
        }
        for job in JOBS:
            message = {"id": f"{event['id']}.{job}", "job": job, "lane": "default", "body": event, "created_at": at}
            yield int(now * 1000), json.dumps(message)


def summary(runs):
    """The median of every figure, but all errors and requests."""
    row = {}
    for key in runs[0]:
        values = [run[key] for run in runs]
        if key in ("errors", "requests"):
            row[key] = sum(values)
        else:
            row[key] = None if values[0] is None else round(statistics.median(values), 3)
    return row


COLUMNS = (
    ("scenario", "scenario", "{}"),
    ("conn", "connections", "{}"),
    ("req/s", "rps", "{:,.0f}"),
    ("p50 ms", "p50_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.2f}"),
    ("CPU-µs/req", "cpu_us", "{:.1f}"),
    ("RSS MB", "rss_mb", "{:.1f}"),
    ("errors", "errors", "{:,}"),
    ("bytes", "bytes", "{:,.0f}"),
    ("cores", "server_cores", "{:.2f}"),
    ("client", "client_cores", "{:.2f}"),
    ("other", "other_cores", "{:.2f}"),
)


def table(rows, columns=COLUMNS):
    lines = [[title for title, _, _ in columns]]
    lines += [["–" if row.get(key) is None else form.format(row[key]) for _, key, form in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]

    def padded(line):
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join((first, *rest))

    return "\n".join(map(padded, lines))


def numbers(text):
    return [int(part) for part in text.split(",")]


def names(text):
    chosen = text.split(",")
    if unknown := set(chosen) - set(SCENARIOS):
        raise argparse.ArgumentTypeError(f"no such scenario: {', '.join(unknown)}")
    return chosen


def add_load_options(parser, runs, scenarios, connections):
    parser.add_argument("--scenarios", type=names, default=scenarios, metavar="A,B", help=f"of {', '.join(SCENARIOS)}")
    parser.add_argument("--connections", type=numbers, default=connections, metavar="N,M")
    parser.add_argument("--seconds", type=int, default=8, help="of one run")
    parser.add_argument("--runs", type=int, default=runs, help="per row; the table shows medians")
    parser.add_argument("--warmup", type=int, default=2, metavar="SECONDS", help="before the first run of a row")
    parser.add_argument("--limit", type=int, default=2_000_000, help="requests after which a run ends early")
    parser.add_argument(
        "--limit-writes", type=int, default=50_000, help="the same for create; ten times that for mixed"
    )
    parser.add_argument("--json", metavar="FILE", help="write every run there too")


def limit_of(options, scenario):
    writes = {"create": options.limit_writes, "comment": options.limit_writes, "mixed": options.limit_writes * 10}
    return min(options.limit, writes.get(scenario, options.limit))


def need_wrk():
    if not shutil.which("wrk"):
        sys.exit("wrk is missing: apt-get install wrk, brew install wrk, or https://github.com/wg/wrk")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument(
        "--pid", type=int, help="of the server on this machine: adds CPU and memory of its process tree"
    )
    parser.add_argument("--login", metavar="NAME:PASSWORD", help="who creates, votes and comments")
    parser.add_argument("--data", metavar="DIR", help="the local host's folder; needed by jobs")
    parser.add_argument("--ids", type=int, default=20_000, help="how many products `get` draws from")
    parser.add_argument("--get", metavar="PATH", help="default /v1/products/{id}; {1..20000} makes a range")
    parser.add_argument(
        "--list", metavar="PATH", action="append", help="default /v1/products?limit=20; may be repeated"
    )
    parser.add_argument("--search", metavar="PATH", action="append", help="default /v1/search?q={lamp|oil lamp|…}")
    parser.add_argument("--create", metavar="PATH", help="default /v1/products")
    parser.add_argument("--body", help="of a creation, with {n} for a number of its own")
    parser.add_argument("--header", action="append", default=[], help="sent with every request")
    add_load_options(parser, runs=3, scenarios=["get", "list", "create", "mixed"], connections=[16, 64])
    options = parser.parse_args()
    need_wrk()
    if not options.login and not options.header and set(options.scenarios) & set(WRITES):
        parser.error(f"{', '.join(WRITES)} need --login NAME:PASSWORD (or --scenarios get,list)")
    if "jobs" in options.scenarios and not (options.data and options.pid):
        parser.error("jobs needs --data DIR and --pid of the local host")
    o = options
    target = Target("server", o.url, o.pid, o.get, o.list, o.create, o.body, o.header, o.login, o.ids, o.search)
    rows = []
    for scenario in options.scenarios:
        if scenario == "jobs":
            runs = [target.work(options.data) for _ in range(options.runs)]
            rows.append({"scenario": scenario, "connections": None, **summary(runs), "runs": runs})
            continue
        for connections in options.connections:
            limit = limit_of(options, scenario)
            if options.warmup:
                target.load(scenario, connections, options.warmup, limit)
            runs = [target.load(scenario, connections, options.seconds, limit) for _ in range(options.runs)]
            rows.append({"scenario": scenario, "connections": connections, **summary(runs), "runs": runs})
            print(f"{scenario} at {connections}: {rows[-1]['rps']:,.0f} req/s", file=sys.stderr, flush=True)
    print(table(rows))
    if options.json:
        with open(options.json, "w") as file:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            json.dump({"url": options.url, "at": now, "cpus": os.cpu_count(), "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
