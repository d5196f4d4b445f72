#!/usr/bin/env python3
"""How long others wait while one client leans on the local host: the p99 of `GET /v1/products` when it is quiet, and beside
sockets that read nothing, wrong sign-ins, facets, and a member's edits; how long the worst body of 60 KB takes; and how long
another member's product takes to be found by search after a member's edits.

    lean.py --souk target/release/souk --products 100000

It seeds a market of its own. Each row has as many seconds as --seconds says."""

import argparse
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

from compare import free_port, server

PASSWORD = "twist every dial"


def call(port, method, path, body=None, token=None, connection=None):
    """The status, the headers and the body of one request."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    one = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    one.request(method, path, None if body is None else json.dumps(body), headers)
    answer = one.getresponse()
    text = answer.read()
    if not connection:
        one.close()
    return answer.status, answer.headers, text


def ninety_ninth(port, seconds):
    """The p50 and p99 of a list that no cache has, in milliseconds, at up to 100 requests a second, and how many failed."""
    times, failed, end = [], 0, time.monotonic() + seconds
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    count = 0
    while time.monotonic() < end:
        began = time.monotonic()
        count += 1
        try:
            status, _, _ = call(port, "GET", f"/v1/products?limit={1 + count % 50}", connection=connection)
            failed += status != 200
        except OSError:
            failed += 1
            connection.close()
        times.append(1000 * (time.monotonic() - began))
        time.sleep(max(0, 0.01 - (time.monotonic() - began)))
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100], failed


@contextlib.contextmanager
def clients(count, act):
    """So many threads that act over and over."""
    stop = threading.Event()
    answers = {}

    def run(number):
        while not stop.is_set():
            try:
                status = act(number)
            except OSError:
                status = 0
            answers[status] = answers.get(status, 0) + 1

    threads = [threading.Thread(target=run, args=[number], daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


@contextlib.contextmanager
def stalled(port, count):
    """Sockets that ask and read nothing."""
    sockets = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port))
        one.setblocking(False)
        with contextlib.suppress(OSError):
            one.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        sockets.append(one)
    try:
        yield {}
    finally:
        for one in sockets:
            one.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--souk", default="target/release/souk")
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="souk-bench-") as place:
        seed = [options.souk, "seed", "--products", str(options.products), "--data", f"{place}/market"]
        subprocess.run(seed, check=True, stdout=subprocess.DEVNULL)
        port = free_port()
        os.environ.update(SOUK_CACHE="off", SOUK_LIMITS="off", SOUK_LOG="error")
        command = f"exec {options.souk} serve --no-demo --listen 127.0.0.1:{port} --data {place}/market"
        with server(command, f"http://127.0.0.1:{port}/healthz") as pid:
            lean(port, pid, options.seconds)


def lean(port, pid, seconds):
    account = {"username": "leaning", "email": "leaning@example.com", "password": PASSWORD}
    call(port, "POST", "/v1/accounts", account)
    token = json.loads(call(port, "POST", "/v1/sessions", {"username": "leaning", "password": PASSWORD})[2])["access_token"]
    category = json.loads(call(port, "GET", "/v1/categories?limit=1")[2])["items"][0]["id"]
    product = {"title": "Leaning", "category": category, "price": {"amount": 1, "currency": "EUR"}}
    own = json.loads(call(port, "POST", "/v1/products", product, token)[2])["id"]

    unknown = {f"x{n}": 1 for n in range(2500)} | product | {"attributes": {f"x{n}": 1 for n in range(2500)}}
    took = []
    for _ in range(5):
        began = time.monotonic()
        status, _, _ = call(port, "POST", "/v1/products", unknown, token)
        took.append(1000 * (time.monotonic() - began))
        assert status == 422, status
    print(f"{'the worst body of 60 KB':<34} {sorted(took)[2]:>8.1f} ms")

    def wrong(_):
        return call(port, "POST", "/v1/sessions", {"username": "leaning", "password": "wrong wrong"})[0]

    def facets(number):
        fields = "category,vendor,tag,condition,price,attr.material"
        return call(port, "GET", f"/v1/search?facets={fields}&limit={1 + number}")[0]

    def edits(number):
        return call(port, "PATCH", f"/v1/products/{own}", {"description": f"{number} {time.monotonic()}"}, token)[0]

    print(f"{'beside':<34} {'p50 ms':>8} {'p99 ms':>8} {'failed':>7} {'MB':>6}  answers to the others")
    for name, others in [
        ("nothing", contextlib.nullcontext({})),
        ("1,000 sockets that read nothing", stalled(port, 1000)),
        ("64 wrong sign-ins", clients(64, wrong)),
        ("16 clients with facets", clients(16, facets)),
        ("a member with 8 editors", clients(8, edits)),
    ]:
        with others as answers:
            half, most, failed = ninety_ninth(port, seconds)
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                memory = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
            print(f"{name:<34} {half:>8.1f} {most:>8.1f} {failed:>7} {memory // 1024:>6}  {dict(sorted(answers.items()))}", flush=True)
        time.sleep(2)

    call(port, "POST", "/v1/accounts", {"username": "waiting", "email": "waiting@example.com", "password": PASSWORD})
    waiting = json.loads(call(port, "POST", "/v1/sessions", {"username": "waiting", "password": PASSWORD})[2])["access_token"]
    print(f"found after, in seconds: nothing {found(port, product, waiting):.1f}", end="")
    with clients(8, edits) as answers:
        time.sleep(3 * seconds)
        beside = found(port, product, waiting)
    print(f", {answers.get(200, 0)} edits of another member {beside:.1f}")


def found(port, product, token):
    """How long search takes to find a new product, in seconds."""
    word = f"zq{time.monotonic_ns()}"
    new = json.loads(call(port, "POST", "/v1/products", product | {"title": f"Found {word}"}, token)[2])["id"]
    call(port, "POST", f"/v1/products/{new}/publish", token=token)
    began = time.monotonic()
    while not json.loads(call(port, "GET", f"/v1/search?q={word}&limit=1")[2])["items"]:
        time.sleep(0.05)
        if time.monotonic() > began + 300:
            return float("inf")
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
