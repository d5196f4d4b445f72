#!/usr/bin/env python3
"""Makes a configuration for plain `workerd serve` of what Miniflare dumps of its own, for measuring: the Worker and the
simulators of its bindings stay, what Miniflare puts in front of them goes.

    workerd.py DUMP DIRECTORY PORT     writes DIRECTORY/config.capnp

DUMP is the file that MINIFLARE_WORKERD_CONFIG_DEBUG names."""

import json
import os
import sys

DROPPED = {"core:entry"}
# Fields whose values are names of an enumeration, not texts.
ENUMERATIONS = {"style"}


class Void:
    """The value of a field that has none."""


def main(dump, directory, port):
    with open(dump, encoding="utf-8") as file:
        config = json.load(file)
    os.makedirs(directory, exist_ok=True)
    embedded = []

    def embed(content):
        name = f"part-{len(embedded)}"
        embedded.append(name)
        with open(os.path.join(directory, name), "wb") as file:
            file.write(content)
        return f'embed "{name}"'

    def text(value, field=""):
        if isinstance(value, dict):
            if value.get("type") == "Buffer":
                return embed(bytes(value["data"]))
            if value and all(name.isdigit() for name in value):  # a Uint8Array
                return embed(bytes(value.values()))
            parts = [f"{name} = {text(part, name)}" for name, part in value.items() if part is not None]
            return f"({', '.join(parts)})"
        if isinstance(value, list):
            return f"[{', '.join(text(part) for part in value)}]"
        if isinstance(value, Void):
            return "void"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str) and field not in ENUMERATIONS:
            return embed(value.encode()) if len(value) > 500 else json.dumps(value)
        return str(value)

    services = []
    for service in config["services"]:
        if service["name"] in DROPPED:
            continue
        worker = service.get("worker", {})
        # Without Docker and certificates nothing here is missing.
        worker.pop("containerEngine", None)
        worker.pop("globalOutbound", None)
        if worker.get("durableObjectStorage") == {}:
            # JSON has lost the only field, which says nothing.
            worker["durableObjectStorage"] = {"inMemory": Void()}
        if "disk" in service:
            os.makedirs(service["disk"]["path"], exist_ok=True)
        if service["name"] == "loopback":
            service["external"]["address"] = "127.0.0.1:9"
        if service["name"] == "internet":
            service["network"] = {"allow": ["public"]}
        services.append(service)
    sockets = [
        {
            "name": "http",
            "address": f"127.0.0.1:{port}",
            "http": {"cfBlobHeader": "MF-CF-Blob"},
            "service": {"name": next(s["name"] for s in services if s["name"].startswith("core:user:"))},
        }
    ]
    whole = {"services": services, "sockets": sockets, "extensions": config.get("extensions", [])}
    body = text(whole)
    with open(os.path.join(directory, "config.capnp"), "w", encoding="utf-8") as file:
        file.write(f'using Workerd = import "/workerd/workerd.capnp";\nconst config :Workerd.Config = {body};\n')


if __name__ == "__main__":
    main(*sys.argv[1:])
