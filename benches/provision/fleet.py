"""Real sshd's on loopback addresses, each with a directory that it is the host of."""

import getpass
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import processes


class Fleet:
    """`count` hosts, `127.0.1.1` and on, at one port. Use it as a context: all ends with it."""

    def __init__(self, directory, count):
        self.directory = directory
        self.sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if self.sshd is None:
            raise SystemExit("there is no sshd: apt-get install openssh-server")
        self.user = getpass.getuser()
        self.count = count
        self.port = self._free_port()
        self.key = directory / "user_key"
        self.known_hosts = directory / "known_hosts"
        self.hosts = []
        self.daemons = []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_):
        self._stop()

    def reset(self):
        """Takes away all that contestants wrote."""
        for host in self.hosts:
            shutil.rmtree(host["root"])
            Path(host["root"]).mkdir()
            shutil.rmtree(self._home(host))
            self._home(host).mkdir(mode=0o700)
        subprocess.run(["sync", "-f", str(self.directory)], check=True)

    def cpu_seconds(self):
        """What the daemons have used with all their children that have ended."""
        return sum(processes.cpu_seconds(daemon.pid) for daemon in self.daemons)

    def await_idle(self, timeout=30):
        """Waits until no session is left, so that all that sessions used is counted. Says whether it came to that."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if not any(processes.descendants(daemon.pid) for daemon in self.daemons):
                return True
            time.sleep(0.05)
        return False

    def counts(self):
        """Connections that were let in, and commands and subsystems that were started on them, since the start."""
        connections = starts = 0
        for host in self.hosts:
            log = (self._folder(host) / "log").read_text(errors="replace")
            connections += len(re.findall(r"Accepted publickey", log))
            starts += len(re.findall(r"Starting session: (?:command|subsystem|shell)", log))
        return connections, starts

    def _folder(self, host):
        return self.directory / host["name"]

    def _home(self, host):
        return self._folder(host) / "home"

    def _start(self):
        self._keygen(self.key)
        lines = []
        for number in range(1, self.count + 1):
            folder = self.directory / f"h{number}"
            for part in ("root", "home"):
                (folder / part).mkdir(parents=True, mode=0o700)
            host = {
                "name": f"h{number}",
                "address": f"127.0.1.{number}",
                "port": self.port,
                "user": self.user,
                "identity_file": str(self.key),
                "known_hosts": str(self.known_hosts),
                "root": str(folder / "root"),
            }
            self.hosts.append(host)
            self._keygen(folder / "host_key")
            public = (folder / "host_key.pub").read_text().split()
            lines.append(f"[{host['address']}]:{self.port} {public[0]} {public[1]}\n")
            (folder / "config").write_text(self._config(host, folder))
        self.known_hosts.write_text("".join(lines))
        # sshd as root wants it, and a machine without a running sshd may not have it.
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        for host in self.hosts:
            folder = self._folder(host)
            command = [self.sshd, "-D", "-f", str(folder / "config"), "-E", str(folder / "log")]
            self.daemons.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        for host, daemon in zip(self.hosts, self.daemons):
            self._await_listening(host, daemon)

    def _config(self, host, folder):
        # A home of its own: the user's start-up files are not part of the work. VERBOSE, so that sessions are counted.
        return f"""ListenAddress {host['address']}:{self.port}
HostKey {folder / 'host_key'}
AuthorizedKeysFile {self.key}.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
LogLevel VERBOSE
SetEnv HOME={folder / 'home'}
Subsystem sftp internal-sftp
"""

    def _keygen(self, path):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "provision", "-f", str(path)], check=True)

    def _free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.1.1", 0))
            return probe.getsockname()[1]

    def _await_listening(self, host, daemon, timeout=10):
        end = time.monotonic() + timeout
        while True:
            try:
                socket.create_connection((host["address"], self.port), timeout=1).close()
                return
            except OSError:
                if daemon.poll() is not None or time.monotonic() > end:
                    log = (self._folder(host) / "log").read_text(errors="replace")
                    raise SystemExit(f"the sshd of {host['name']} does not listen:\n{log}") from None
                time.sleep(0.02)

    def _stop(self):
        for daemon in self.daemons:
            below = processes.descendants(daemon.pid)
            daemon.terminate()
            for pid in below:
                processes.signal(pid, signal.SIGKILL)
        for daemon in self.daemons:
            try:
                daemon.wait(timeout=5)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.daemons = []
