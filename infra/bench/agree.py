#!/usr/bin/env python3
"""Whether searches agree with the documents while these change: edits titles at a rate, searches all the while, and counts
the answers that are wrong about a product whose last edit is older than so many seconds.

    agree.py --url http://127.0.0.1:8787 --login NAME:PASSWORD --seconds 60 --rate 20 --lag 5 --reindex 2

The account must be a moderator, or an admin for --reindex. It spoils the titles of 200 products: use a market that you can
throw away."""

import argparse
import json
import random
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

PRODUCTS, WORDS, SEARCHERS, EDITORS = 200, 20, 4, 4


def call(url, method, path, body=None, token=None):
    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8787")
    parser.add_argument("--login", required=True, metavar="NAME:PASSWORD")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=20, help="edits per second")
    parser.add_argument("--lag", type=float, default=5, help="how old an edit is that every answer must know")
    parser.add_argument("--reindex", type=int, default=0, help="how many rebuilds are begun meanwhile")
    options = parser.parse_args()
    name, _, password = options.login.partition(":")
    key = "email" if "@" in name else "username"
    token = call(options.url, "POST", "/v1/sessions", {key: name, "password": password})["access_token"]
    ids, cursor = [], ""
    while len(ids) < PRODUCTS:
        page = call(options.url, "GET", f"/v1/products?limit=100{cursor}")
        ids += [item["id"] for item in page["items"]]
        if not page["next_cursor"]:
            break
        cursor = "&cursor=" + urllib.parse.quote(page["next_cursor"])
    # Each product's last two edits: when each was sent and answered, and the word that it gave the title.
    edits, lock, counts, wrong = {}, threading.Lock(), {"edits": 0, "searches": 0, "failed": 0}, []
    # Three letters of a word differ from every other's: a search that finds nothing is mended by one letter, and must not find another word.
    words = [f"q{chr(ord('a') + n) * 3}x" for n in range(WORDS)]
    end = time.time() + options.seconds

    def edit(own):
        begun, done = time.time(), 0
        while time.time() < end:
            product, word = random.choice(own), random.choice(words)
            sent = time.time()
            call(options.url, "PATCH", f"/v1/products/{product}", {"title": f"Edited {word} lamp"}, token)
            with lock:
                edits[product] = [*edits.get(product, [])[-1:], (sent, time.time(), word)]
                counts["edits"] += 1
            done += 1
            time.sleep(max(0, begun + done * EDITORS / options.rate - time.time()))

    def search():
        while time.time() < end:
            word, asked = random.choice(words), time.time()
            try:
                page = call(options.url, "GET", f"/v1/search?limit=100&q={word}")
            except (urllib.error.URLError, OSError):
                counts["failed"] += 1
                continue
            found = {item["id"] for item in page["items"]}
            with lock:
                counts["searches"] += 1
                for product, (*_, (_, answered, last)) in edits.items():
                    if answered < asked - options.lag and (last == word) != (product in found):
                        wrong.append((product, "lacks" if last == word else "still has", word, round(asked - answered, 1)))
            time.sleep(0.05)

    # No product has two editors, so that it is known which edit is the last.
    threads = [threading.Thread(target=edit, args=[ids[n::EDITORS]]) for n in range(EDITORS)]
    threads += [threading.Thread(target=search) for _ in range(SEARCHERS)]
    for thread in threads:
        thread.start()
    for _ in range(options.reindex):
        time.sleep(options.seconds / (options.reindex + 1))
        call(options.url, "POST", "/v1/search/reindex", {}, token)
    for thread in threads:
        thread.join()
    print(", ".join(f"{count} {name}" for name, count in counts.items()), f"{len(wrong)} wrong", sep=", ")
    for product, how, word, age in wrong[:10]:
        print(f"{product} {how} {word}, {age} s after its last edit", file=sys.stderr)
    sys.exit(bool(wrong) or counts["failed"] > 0)


if __name__ == "__main__":
    main()
