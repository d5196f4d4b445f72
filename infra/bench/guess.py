#!/usr/bin/env python3
"""infra/bench/guess.py --souk BINARY [--guesses 100000] [--addresses 1000]: guesses the password of one account from many
addresses, on the local host, and prints how many guesses were checked, whether the owner got in on a known device meanwhile, and how
long others waited for a list of products, before and during the attack. Fails if more than 100 guesses were checked, if the owner
was kept out, or if the others' p99 was more than three times what it was."""
import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter

CONNECTIONS = 16


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Connection:
    """A connection that is kept open."""

    def __init__(self, port: int) -> None:
        self.port, self.reader, self.writer = port, None, None

    async def call(self, method: str, path: str, address: str, body: object = None) -> tuple[int, bytes]:
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: souk\r\nx-forwarded-for: {address}\r\ncontent-type: application/json\r\n"
        for attempt in (1, 2):
            try:
                if self.writer is None:
                    self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
                self.writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
                lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                answer = await self.reader.readexactly(int(headers.get("content-length", 0)))
                return int(lines[0].split()[1]), answer
            except (OSError, asyncio.IncompleteReadError):
                self.writer = None
                if attempt == 2:
                    raise
        raise AssertionError


async def others(port: int, until: asyncio.Event) -> list[float]:
    """How long somebody who does not guess waits, in milliseconds: 50 requests a second, each a list that no cache has."""
    waits, connection, number = [], Connection(port), 0
    while not until.is_set():
        number += 1
        begun = time.perf_counter()
        status, _ = await connection.call("GET", f"/v1/products?limit=20&min_price={number}&currency=EUR", "10.200.0.1")
        assert status == 200, status
        waits.append(1000 * (time.perf_counter() - begun))
        await asyncio.sleep(max(0.0, 0.02 - (time.perf_counter() - begun)))
    return waits


async def attack(port: int, guesses: int, addresses: list[str], username: str, device: str, password: str) -> dict:
    begun, sent, statuses, owner = time.monotonic(), 0, Counter(), Counter()

    async def guesser() -> None:
        nonlocal sent
        connection = Connection(port)
        while sent < guesses:
            sent += 1
            body = {"username": username, "password": f"guess {sent}"}
            status, _ = await connection.call("POST", "/v1/sessions", addresses[sent % len(addresses)], body)
            statuses[status] += 1

    async def own() -> None:
        connection = Connection(port)
        for number in range(1, 101):
            while sent < number * guesses // 101:
                await asyncio.sleep(0.01)
            body = {"username": username, "password": password, "device": device}
            status, _ = await connection.call("POST", "/v1/sessions", random.choice(addresses), body)
            owner[status] += 1

    await asyncio.gather(own(), *(guesser() for _ in range(CONNECTIONS)))
    return {"statuses": statuses, "owner": owner, "seconds": time.monotonic() - begun}


def p99(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=100)[98]


async def run(port: int, options: argparse.Namespace) -> bool:
    connection, password = Connection(port), "correct horse battery"
    account = {"email": "owner@example.com", "username": "owner", "password": password, "sign_in": True}
    status, answer = await connection.call("POST", "/v1/accounts", "10.1.0.1", account)
    assert status == 201, answer
    device = json.loads(answer)["session"]["device"]
    addresses = [f"10.0.{n // 250}.{n % 250}" for n in range(options.addresses)]

    quiet = asyncio.Event()
    asyncio.get_running_loop().call_later(10, quiet.set)
    before = await others(port, quiet)
    done = asyncio.Event()
    waiting = asyncio.create_task(others(port, done))
    found = await attack(port, options.guesses, addresses, account["username"], device, password)
    done.set()
    during = await waiting

    checked, owner = found["statuses"][401], found["owner"][201]
    rate = options.guesses / found["seconds"]
    print(f"guesses: {options.guesses} from {len(addresses)} addresses, {rate:.0f} a second: {dict(found['statuses'])}")
    print(f"checked: {checked}; the owner on a known device got in {owner} of 100 times {dict(found['owner'])}")
    print(f"others' p99: {p99(before):.1f} ms before, {p99(during):.1f} ms during ({p99(during) / p99(before):.2f} times)")
    return checked <= 100 and owner == 100 and p99(during) <= 3 * p99(before)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--souk", required=True)
    options.add_argument("--guesses", type=int, default=100_000)
    options.add_argument("--addresses", type=int, default=1_000)
    options = options.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"SOUK_PROXIES": "1", "SOUK_LOG": "error"}
        command = [options.souk, "serve", "--no-demo", "--listen", f"127.0.0.1:{port}", "--data", f"{folder}/data"]
        server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
        try:
            for _ in range(100):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1)
                    break
                except OSError:
                    time.sleep(0.1)
            is_good = asyncio.run(run(port, options))
        finally:
            server.terminate()
            server.wait()
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
