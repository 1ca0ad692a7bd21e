"""The work for pyinfra, as its documentation would have it done. `WORK` names the file that work.py writes."""

import json
import os
from pathlib import Path

from pyinfra import host
from pyinfra.facts.files import File, Sha256File
from pyinfra.facts.hardware import Cpus
from pyinfra.facts.server import Command, Hostname, Kernel, LinuxDistribution
from pyinfra.operations import files, python, server

work = json.loads(Path(os.environ["WORK"]).read_text())
root = host.data.root
binary = f"{root}/{work['file']['path']}"

host.get_fact(LinuxDistribution)
host.get_fact(Kernel)
host.get_fact(Hostname)
cpus = host.get_fact(Cpus)
memory = host.get_fact(Command, "awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo")

files.directory(name="the directory", path=f"{root}/{work['directory']['path']}", mode=work["directory"]["mode"])
files.directory(name="the directory of the templates", path=f"{root}/etc", mode="0755")
uploaded = files.put(name="the file", src=work["file"]["source"], dest=binary, mode=work["file"]["mode"])


def check_digest():
    """Once it is there; what is there already is compared by `put`."""
    found = host.get_fact(Sha256File, path=binary)
    if found != work["file"]["sha256"]:
        raise ValueError(f"{binary}: SHA-256 {found}")


python.call(name="its digest", function=check_digest, _if=uploaded.did_change)

for template in work["templates"]:
    files.template(
        name=template["path"],
        src=template["source"],
        dest=f"{root}/{template['path']}",
        mode=template["mode"],
        root=root,
        address=host.data.ssh_hostname,
        cpus=cpus,
        memory=memory,
        node=host.name,
    )

for command in work["commands"]:
    if host.get_fact(File, path=f"{root}/{command['unless_exists']}") is None:
        server.shell(name=command["unless_exists"], commands=[f"cd {root} && {{ {command['run']}; }}"])
