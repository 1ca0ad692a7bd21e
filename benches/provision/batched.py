"""The work as a careful person would do it with OpenSSH and a shell alone: one connection per host, one command that
asks for facts and digests, and one stream with all that differs. Usage: `batched.py WORK.json`.

It is the yardstick for the least that the work can cost with OpenSSH: no plan, no resume, no report.
"""

import hashlib
import io
import json
import shlex
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from work import render, values_of

PROBE = """
cd {root} || exit 1
echo fact cpus $(getconf _NPROCESSORS_ONLN)
awk '/^MemTotal:/ {{ print "fact memory", int($2 / 1024) }}' /proc/meminfo
echo fact kernel $(uname -sr)
echo fact machine $(uname -m)
echo fact hostname $(uname -n)
echo fact system $(. /etc/os-release; echo $ID $VERSION_ID)
echo fact libc $(getconf GNU_LIBC_VERSION)
echo fact cgroups $(stat -f -c %T /sys/fs/cgroup)
echo fact clock $(date +%s)
echo fact space $(df -Pk . | awk 'NR == 2 {{ print $4 }}')
for path in {paths}; do
    if [ -e $path ]; then
        if [ -d $path ]; then sum=-; else sum=$(sha256sum < $path); sum=${{sum%% *}}; fi
        echo path $path $(stat -c %a $path) $sum
    fi
done
"""

APPLY = """
set -e
umask 022
cd {root}
mkdir -p opt/app etc .new
chmod 0750 opt/app
tar -xpf - -C .new
(cd .new && sha256sum -c --quiet .sums)
for path in {paths}; do mv -f .new/$path $path; done
rm -rf .new
"""

COMMAND = "[ -e {unless_exists} ] || {{ {run}; }}\n"


def main():
    work = json.loads(Path(sys.argv[1]).read_text())
    cache = {}
    with tempfile.TemporaryDirectory(prefix="batched-") as sockets:
        with ThreadPoolExecutor(max_workers=work["parallel"]) as pool:
            outcomes = list(pool.map(lambda host: provision(work, host, sockets, cache), work["hosts"]))
    changed = sum(outcomes)
    print(f"{len(outcomes)} hosts, {changed} changed")


def provision(work, host, sockets, cache):
    """One host, from connection to end. Says whether anything was changed."""
    socket = f"{sockets}/{host['name']}"
    ssh = [
        "ssh", "-T", "-F", "none", "-p", str(host["port"]), "-i", host["identity_file"],
        "-o", f"UserKnownHostsFile={host['known_hosts']}", "-o", "StrictHostKeyChecking=yes",
        "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
        "-o", "ControlMaster=auto", "-o", "ControlPersist=30", "-o", f"ControlPath={socket}",
        f"{host['user']}@{host['address']}",
    ]
    root = shlex.quote(host["root"])
    files = [work["file"], *work["templates"]]
    paths = [work["directory"]["path"], *(item["path"] for item in files), *(c["unless_exists"] for c in work["commands"])]
    try:
        probe = PROBE.format(root=root, paths=" ".join(paths)).encode()
        answer = remote([*ssh, "sh -s"], lambda pipe: pipe.write(probe))
        facts, found = {}, {}
        for line in answer.decode().splitlines():
            kind, name, *rest = line.split(" ")
            if kind == "fact":
                facts[name] = " ".join(rest)
            elif kind == "path":
                found[name] = (int(rest[0], 8), rest[1])
        values = values_of(host, facts)
        differing = []
        for item in files:
            if item is work["file"]:
                content, digest = None, item["sha256"]
            else:
                content = render(text_of(item["source"], cache), values).encode()
                digest = hashlib.sha256(content).hexdigest()
            if found.get(item["path"]) != (int(item["mode"], 8), digest):
                differing.append((item, content, digest))
        directory = work["directory"]
        undone = [command for command in work["commands"] if command["unless_exists"] not in found]
        if not differing and not undone and found.get(directory["path"]) == (int(directory["mode"], 8), "-"):
            return False
        script = APPLY.format(root=root, paths=" ".join(item["path"] for item, _, _ in differing))
        script += "".join(COMMAND.format(**command) for command in undone)
        remote([*ssh, f"sh -c {shlex.quote(script)}"], lambda pipe: stream(pipe, differing, cache))
        return True
    finally:
        subprocess.run([*ssh, "-O", "exit"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def stream(pipe, differing, cache):
    """A tar archive of what differs, and the digests that the host checks before it puts anything in place. The large file's
    bytes are shared by all hosts."""
    sums = "".join(f"{digest}  {item['path']}\n" for item, _, digest in differing).encode()
    entries = [
        (item["path"], item["mode"], bytes_of(item["source"], cache) if content is None else content)
        for item, content, _ in differing
    ]
    with tarfile.open(fileobj=pipe, mode="w|") as archive:
        for path, mode, content in [*entries, (".sums", "0600", sums)]:
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), int(mode, 8)
            archive.addfile(entry, io.BytesIO(content))


def bytes_of(path, cache):
    if path not in cache:
        cache[path] = Path(path).read_bytes()
    return cache[path]


def text_of(path, cache):
    return bytes_of(path, cache).decode()


def remote(command, write):
    """Runs a command on a host, with what `write` writes as its input, and returns what it prints."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            write(process.stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended early, and says why
        process.stdin = None
        answer, complaint = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"{command[-2]}: exit status {process.returncode}\n{complaint.decode()}")
    return answer


main()
