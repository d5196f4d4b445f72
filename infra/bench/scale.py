#!/usr/bin/env python3
"""Whether reads cost the same in a small and in a large market: CPU per request of both, measured by turns, and the ratio.

    scale.py --small 1000 --large 100000 --at-most 1.3

See README.md beside it.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys

import bench
import compare
import machine

# Each makes one query that fills its page in either market. `deep` starts in the middle of the list.
READS = {
    "get": "/v1/products/{id}",
    "get by slug": "/v1/products/{slug}",
    "list": "/v1/products?limit=20",
    "list category": "/v1/products?limit=20&category=lamps",
    "list tag": "/v1/products?limit=20&tag=vintage",
    "list by price": "/v1/products?limit=20&sort=price",
    "list include": "/v1/products?limit=20&include=category,author,vendor",
    "list deep": "/v1/products?limit=20&cursor={cursor}",
    "search": "/v1/search?q={lamp|brass|kettle|glass|painted|carpet|istanbul|linen|camera|radio}",
    "search two words": "/v1/search?q={oil lamp|rare steel|city bike|wooden chair|silver ring|copper kettle|leather bag}",
    "search category": "/v1/search?category=lamps&q={brass|glass|painted|rare}",
    "search typo": "/v1/search?q={lammp|kettel|istambul|camra|capret}",
    "suggest": "/v1/search/suggest?q={la|bra|ket|pain|istan|city b|rare st}",
}


class Market:
    """A market of some size: what there is to read in it, and what reading costs."""

    def __init__(self, target, size):
        self.target, self.size = target, size
        ids, slugs, cursors = [], [], []
        cursor = None
        while True:
            page = target.api.call("/v1/products?limit=100" + (f"&cursor={cursor}" if cursor else ""))
            ids += [item["id"] for item in page["items"]]
            slugs += [item["slug"] for item in page["items"]]
            cursor = page["next_cursor"]
            if not cursor:
                break
            cursors.append(cursor)
        self.known = {"{id}": ids, "{slug}": slugs, "{cursor}": [cursors[len(cursors) // 2]]}

    def load(self, read, options, seconds):
        template = READS[read]
        paths = bench.expand(template)
        for name, values in self.known.items():
            if name in template:
                paths = [template.replace(name, value) for value in values]
        self.target.reads = {"get": paths, "list": paths}
        return self.target.load("get", options.connections, seconds, options.limit)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--souk", default=f"{compare.ROOT}/target/release/souk", metavar="BINARY")
    parser.add_argument("--small", type=int, default=1_000, help="products in the one market")
    parser.add_argument("--large", type=int, default=100_000, help="products in the other")
    parser.add_argument("--reads", type=lambda text: text.split(","), default=list(READS), help=f"of {', '.join(READS)}")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int, default=3, help="of one run")
    parser.add_argument("--runs", type=int, default=5, help="of each read in each market; medians count")
    parser.add_argument("--limit", type=int, default=2_000_000, help="requests after which a run ends early")
    parser.add_argument("--at-most", type=float, default=1.3, help="fail when large costs more times small than this")
    parser.add_argument("--json", metavar="FILE", help="write every run there too")
    return parser.parse_args()


def main():
    options = parse()
    bench.need_wrk()
    rows, failed = [], False
    with contextlib.ExitStack() as stack:
        markets = []
        for size in (options.small, options.large):
            settings = argparse.Namespace(
                products=size, souk=options.souk, worker=False, scenarios=[], souk_get=None, souk_list=None, souk_search=None
            )
            place = stack.enter_context(compare.market(settings))
            markets.append(Market(stack.enter_context(compare.souk(settings, place)), size))
        for read in options.reads:
            runs = {market: [] for market in markets}
            for market in markets:
                market.load(read, options, 1)
            for _ in range(options.runs):
                machine.wait_for_quiet(machine.busy_seconds, 10)
                for market in markets:
                    runs[market].append(market.load(read, options, options.seconds))
            small, large = (bench.summary(runs[market]) for market in markets)
            # Turn by turn: what else the machine did then, it did to both.
            ratio = statistics.median(b["cpu_us"] / a["cpu_us"] for a, b in zip(*runs.values(), strict=True))
            failed |= ratio > options.at_most or small["errors"] + large["errors"] > 0
            row = {"read": read, "ratio": round(ratio, 3), "errors": small["errors"] + large["errors"]}
            for name, figures in (("small", small), ("large", large)):
                row |= {f"{name}_cpu_us": figures["cpu_us"], f"{name}_bytes": figures["bytes"]}
            rows.append(row | {"runs": list(runs.values())})
            print(f"{read}: {ratio:.2f}", file=sys.stderr, flush=True)
    columns = [("read", "read", "{}")]
    for name, size in (("small", options.small), ("large", options.large)):
        columns += [(f"CPU-µs at {size:,}", f"{name}_cpu_us", "{:.1f}"), ("bytes", f"{name}_bytes", "{:,.0f}")]
    columns += [("ratio", "ratio", "{:.2f}"), ("errors", "errors", "{}")]
    print(bench.table(rows, columns))
    worst = max(row["ratio"] for row in rows)
    print(f"at most {worst:.2f} times the cost with {options.large / options.small:,.0f} times the products")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"cpus": os.cpu_count(), "rows": rows}, file, indent=1)
    if failed:
        sys.exit(f"more than {options.at_most} times, or requests failed")


if __name__ == "__main__":
    main()
