#!/usr/bin/env python3
"""infra/bench/tenants.py --souk BINARY [--tenants 10000] [--requests 3000]: what many markets cost, on the local host. Prints how
soon a new market answers, and the server's CPU time of a read and of a sign-in in one market, beside no other and beside all of
them. Fails if a new market took more than a second, or if reads or sign-ins cost more than 1.1 times what they did."""
import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import machine

PASSWORD = "a pass phrase for measuring"
SIGN_INS = 60


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Market:
    """One connection to a market."""

    def __init__(self, port: int, host: str) -> None:
        self.connection, self.host, self.token = http.client.HTTPConnection("127.0.0.1", port), host, None

    def call(self, method: str, path: str, body: object = None) -> tuple[int, dict]:
        headers = {"host": self.host, "content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}

    def sign_in(self, username: str) -> None:
        status, tokens = self.call("POST", "/v1/sessions", {"username": username, "password": PASSWORD})
        assert status == 201, tokens
        self.token = tokens["access_token"]

    def sign_up(self, email: str, username: str) -> dict:
        status, account = self.call("POST", "/v1/accounts", {"email": email, "username": username, "password": PASSWORD})
        assert status == 201, account
        self.sign_in(username)
        return account


def cost(pid: int, count: int, act) -> float:
    """CPU time of the server per act, in microseconds: the median of five runs."""
    runs = []
    for _ in range(5):
        begun = machine.cpu_seconds(pid)
        for _ in range(count // 5):
            act()
        runs.append((machine.cpu_seconds(pid) - begun) / (count // 5) * 1e6)
    return statistics.median(runs)


def measure(pid: int, member: Market, requests: int) -> dict[str, float]:
    def read() -> None:
        assert member.call("GET", "/v1/products?limit=20")[0] == 200

    return {
        "read": cost(pid, requests, read),
        "sign-in": cost(pid, SIGN_INS, lambda: member.sign_in("member")),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--souk", required=True)
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=3_000)
    options = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        settings = {"SOUK_LIMITS": "off", "SOUK_TENANT_DOMAIN": "souk.localhost", "SOUK_FIRST_ADMIN": "admin@bench.test", "SOUK_LOG": "warn"}
        command = [options.souk, "serve", "--no-demo", "--listen", f"127.0.0.1:{port}", "--data", data]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen(command, env={**os.environ, **settings}, **quiet)
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            operator = Market(port, "localhost")
            admin = operator.sign_up("admin@bench.test", "bench-admin")
            verify = [Path(__file__).resolve().parents[1] / "verify-email", f"http://127.0.0.1:{port}"]
            subprocess.run(verify, input=json.dumps(admin), text=True, check=True)

            def create(name: str) -> float:
                begun = time.perf_counter()
                status, problem = operator.call("POST", "/v1/tenants", {"name": name, "title": name})
                assert status == 201, problem
                assert Market(port, f"{name}.souk.localhost").call("GET", "/v1/products")[0] == 200
                return time.perf_counter() - begun

            create("first")
            member = Market(port, "first.souk.localhost")
            member.sign_up("member@bench.test", "member")
            # A read of the store: what a member sees is not kept in memory.
            before = measure(server.pid, member, options.requests)
            # One that was idle may be closed; the next request opens another.
            operator.connection.close()
            waits = [create(f"market-{n}") for n in range(options.tenants)]
            member.connection.close()
            after = measure(server.pid, member, options.requests)
        finally:
            server.terminate()
            server.wait()
    print(f"a new market answers after {statistics.median(waits) * 1000:.1f} ms, at most {max(waits) * 1000:.0f} ms")
    failed = max(waits) > 1
    for what, micros in before.items():
        ratio = after[what] / micros
        failed |= ratio > 1.1
        print(f"{what}: {micros:.0f} CPU-µs in one market alone, {after[what]:.0f} beside {options.tenants} others: {ratio:.2f} times")
    sys.exit(failed)


main()
