# SPDX-License-Identifier: Apache-2.0
"""NATS JetStream, built by go from its module: one server, streams on disk. Its protocol is its own, and so is the
client that loads it, natsload/."""
import os
import re
import shutil
import subprocess
from pathlib import Path

from peer import Peer, Unavailable, nats_answers, run_counted

HERE = Path(__file__).resolve().parent
VERSION = "2.15.2"
GO_LEAST = (1, 21)  # it can fetch a newer one by itself
MODULE = f"github.com/nats-io/nats-server/v2@v{VERSION}"
SYNC = {"memory": "", "fsync": "    sync_interval: always\n"}

CONFIGURATION = """listen: 127.0.0.1:{port}
jetstream {{
    store_dir: "{data}/data"
{sync}}}
"""


class Nats(Peer):
    name = "nats"
    protocol = "NATS JetStream (not Kafka's)"
    meaning = {"memory": "as shipped: acknowledged from the page cache, flushed every two minutes",
               "fsync": "sync_interval: always: each message is on the disk before it is acknowledged"}
    answers = staticmethod(nats_answers)
    version = VERSION

    def server(self, build):
        return build / "peers" / f"nats-{VERSION}" / "nats-server"

    def load_client(self, build):
        return build / "peers" / "natsload"

    def is_built(self, build):
        client = self.load_client(build)
        sources = [*HERE.glob("natsload/*.go"), *HERE.glob("natsload/go.*")]
        return (self.server(build).exists() and client.exists() and
                all(s.stat().st_mtime <= client.stat().st_mtime for s in sources))

    def availability(self, build):
        if self.is_built(build):
            return "there", ""
        if not shutil.which("go"):
            return "not to be had", "go is not installed; deploy/dependencies.sh bench installs Debian's"
        said = subprocess.run(["go", "version"], capture_output=True, text=True).stdout.strip()
        go = re.search(r"go(\d+)\.(\d+)", said)
        if not go or tuple(map(int, go.groups())) < GO_LEAST:
            return "not to be had", f"it needs Go 1.26, or 1.21 that may fetch it, and there is {said}"
        return "can be fetched", "by go, 280 MB with sources"

    def go(self, title, *arguments, **environment):
        peers = self.build / "peers"
        # A cache that can be removed like the rest of the build folder; no cgo, so that no compiler of C is needed.
        environment = {**os.environ, "GOPATH": str(peers / "go"), "CGO_ENABLED": "0", **environment}
        command = ["go", arguments[0], "-modcacherw", "-buildvcs=false", *arguments[1:]]
        done, lines = run_counted(title, command, "^go: downloading ", cwd=HERE / "natsload", env=environment)
        if not done:
            said = [line for line in lines if not line.startswith("go: downloading ")]
            raise Unavailable(f"nats: go cannot fetch or build it: {' '.join(said[-3:]) or 'no reason given':.500}\nIt needs Go "
                              "1.26 and a module proxy that it can reach (go env GOPROXY, GOTOOLCHAIN)")

    def get(self):
        if not self.server(self.build).exists():
            folder = self.server(self.build).parent
            self.go(f"fetching and building nats-server {VERSION} by go", "install", MODULE, GOBIN=str(folder))
        self.go("building natsload by go", "build", "-o", self.load_client(self.build))
        os.utime(self.load_client(self.build))

    def command(self, data, port, durability):
        return [self.server(self.build) if self.build else "nats-server", "-c", f"{data}/nats.conf"]

    def text(self, data, port, durability):
        return CONFIGURATION.format(data=data, port=port, sync=SYNC[durability])

    def configuration(self, durability, data="DATA", port="PORT"):
        return f"nats-server -c {data}/nats.conf\n\n# {data}/nats.conf\n" + self.text(data, port, durability)

    def prepare(self, data, port, durability):
        (data / "nats.conf").write_text(self.text(data, port, durability))

    def load(self, *arguments, inside=()):
        """Runs natsload on the server that was started; what it prints, with its status."""
        command = [*inside, str(self.load_client(self.build)), "--url", f"nats://127.0.0.1:{self.port}", "--pid", str(self.pid)]
        return subprocess.run([*command, *arguments], capture_output=True, text=True)
