"""What /proc says of a server's processes and of the machine. Linux only, and only of processes on this machine."""

import os
import time

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """The fields of /proc/PID/stat after the command name, which may hold anything."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()


def tree(pid):
    """`pid` and all that descend from it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children.setdefault(int(_stat(entry)[1]), []).append(int(entry))
            except OSError:  # it ended meanwhile
                pass
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


def cpu_seconds(pid):
    """CPU time of the tree so far, user and system; that of children which ended is in their parent's share."""
    total = 0
    for member in tree(pid):
        try:
            total += sum(map(int, _stat(member)[11:15]))
        except OSError:
            pass
    return total / TICKS


def rss_mb(pid):
    """Resident memory of the tree. Pages that its processes share count once for each of them."""
    total = 0
    for member in tree(pid):
        for name, field in (("smaps_rollup", "Rss:"), ("status", "VmRSS:")):
            try:
                with open(f"/proc/{member}/{name}") as file:
                    total += next(int(line.split()[1]) for line in file if line.startswith(field))
                break
            except (OSError, StopIteration):  # not ours to read, or gone: try the plainer file
                pass
    return total / 1024


def busy_seconds():
    """CPU time that the whole machine has spent working."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, file.readline().split()[1:])
    return (user + nice + system + irq + softirq) / TICKS


def wait_for_quiet(spent, limit):
    """Waits, at most `limit` seconds, until less than 0.3 of a core is in use over half a second.

    `spent` tells the CPU seconds spent so far."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        before = spent()
        time.sleep(0.5)
        if (spent() - before) / 0.5 < 0.3:
            return True
    return False
