"""A private PostgreSQL for the tests: it ends with the program, whatever becomes of that."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

PATIENCE_SECONDS = 60
PR_SET_PDEATHSIG = 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def bindir():
    given = os.environ.get("PGSINK_PG_BINDIR")
    if given:
        return Path(given)
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: float(path.parent.name))


def _end_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


class Server:
    """PostgreSQL refuses root: then it runs as postgres."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="pgsink-python."))
        self.port = free_port()
        self._user = {}
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            self._user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        data = self.folder / "data"
        subprocess.run(
            [bindir() / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N",
             "--no-locale", "-E", "UTF8"],
            check=True, stdout=subprocess.DEVNULL, cwd="/", **self._user,
        )
        settings = {"fsync": "off", "listen_addresses": "127.0.0.1", "port": self.port,
                    "unix_socket_directories": self.folder, "max_prepared_transactions": 10}
        self._process = subprocess.Popen(
            [bindir() / "postgres", "-D", data]
            + [word for item in settings.items() for word in ("-c", "%s=%s" % item)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
            preexec_fn=_end_with_parent, **self._user,
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    @property
    def pid(self):
        return self._process.pid

    def url(self, database):
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def stop(self):
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
