"""What each contestant does on each host, as data: the one place in which it is said.

`write` puts it into a JSON file, which is all that a contestant is given:

    {"hosts": [{"name", "address", "port", "user", "identity_file", "known_hosts", "root"}, …],
     "parallel": 30,
     "directory": {"path", "mode"},
     "file": {"source", "path", "mode", "sha256"},
     "templates": [{"source", "path", "mode"}, …],
     "commands": [{"unless_exists", "run"}, …]}

Paths on hosts are relative to the host's `root`, modes are octal text. A template has `{{ node }}` (the host's `name`),
`{{ root }}` and `{{ address }}` of the host, and its facts `{{ cpus }}` (processors online) and `{{ memory }}` (`MemTotal`, MB, rounded
down), so facts have to be gathered before it can be rendered. A command is run by `sh` with `root` as its directory, and
only when the path is not there.
"""

import hashlib
import json
import os
import random
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE_BYTES = 20_000_000
TEMPLATES = ("agent.service", "agent.yaml", "limits.conf", "hosts", "motd")


def write(path, hosts, directory):
    """Makes the 20 MB file, of bytes that cannot be compressed, and writes the work down."""
    binary = directory / "binary"
    content = random.Random(20_000_000).randbytes(FILE_BYTES)
    binary.write_bytes(content)
    work = {
        "hosts": hosts,
        "parallel": len(hosts),
        "directory": {"path": "opt/app", "mode": "0750"},
        "file": {
            "source": str(binary),
            "path": "opt/app/binary",
            "mode": "0755",
            "sha256": hashlib.sha256(content).hexdigest(),
        },
        "templates": [
            {"source": str(HERE / "templates" / f"{name}.j2"), "path": f"etc/{name}", "mode": "0644"}
            for name in TEMPLATES
        ],
        "commands": [
            {"unless_exists": f"state/step-{n}", "run": f"mkdir -p state && echo done > state/step-{n}"}
            for n in range(1, 6)
        ],
    }
    path.write_text(json.dumps(work, indent=1))
    return work


def render(text, values):
    """A template with its values; simple enough to need no template engine here."""
    for name, value in values.items():
        text = text.replace("{{ %s }}" % name, str(value))
    return text


def values_of(host, facts):
    """What a template is rendered with."""
    return {**facts, "node": host["name"], "root": host["root"], "address": host["address"]}


def facts_of_this_machine():
    """What contestants must have found out: all hosts are this machine."""
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return {"cpus": os.sysconf("SC_NPROCESSORS_ONLN"), "memory": int(memory.split()[1]) // 1024}


def faults(work, host):
    """What is not as it should be on a host, each in a sentence."""
    root = Path(host["root"])
    found = []

    def expect(path, mode, content=None):
        full = root / path
        if not full.exists():
            found.append(f"{full} is not there")
            return
        if full.stat().st_mode & 0o7777 != int(mode, 8):
            found.append(f"{full} has mode {full.stat().st_mode & 0o7777:o}, not {mode}")
        if content is not None and full.read_bytes() != content:
            found.append(f"{full} has other bytes than it should")

    values = values_of(host, facts_of_this_machine())
    expect(work["directory"]["path"], work["directory"]["mode"])
    expect(work["file"]["path"], work["file"]["mode"], Path(work["file"]["source"]).read_bytes())
    for template in work["templates"]:
        rendered = render(Path(template["source"]).read_text(), values)
        expect(template["path"], template["mode"], rendered.encode())
    for command in work["commands"]:
        marker = root / command["unless_exists"]
        if not marker.exists() or marker.read_text() != "done\n":
            found.append(f"{marker} was not written")
    return found


def trace(host):
    """All that is there, by which a change is noticed: a run with nothing to change must leave it alone."""
    root = Path(host["root"])
    entries = {}
    for part in ("opt", "etc", "state"):
        for path in sorted((root / part).rglob("*")):
            stat = path.lstat()
            entries[str(path)] = (stat.st_ino, stat.st_mode, stat.st_size, 0 if path.is_dir() else stat.st_mtime_ns)
    return entries
