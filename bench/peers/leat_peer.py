# SPDX-License-Identifier: Apache-2.0
"""leat itself, from the build folder, so that a comparison treats all brokers alike."""
import subprocess

from peer import Peer, kafka_answers


class Leat(Peer):
    name = "leat"
    protocol = "Kafka"
    meaning = {"memory": "acknowledged out of the process: it outlives the process but not the machine",
               "fsync": "as shipped: on the disk before it is acknowledged"}
    answers = staticmethod(kafka_answers)

    def program(self, build):
        return build / "bin" / "leatd"

    @property
    def version(self):
        if self.build is None or not self.program(self.build).exists():
            return "of this tree"
        said = subprocess.run([self.program(self.build), "--version"], capture_output=True, text=True, check=True).stdout
        return said.strip().removeprefix("leatd ")

    def availability(self, build):
        if self.program(build).exists():
            return "there", ""
        return "not to be had", f"{self.program(build)} is not built: cmake --build {build} --target leatd leat"

    def command(self, data, port, durability):
        return [self.program(self.build) if self.build else "leatd", "--data", f"{data}/data", "--listen", f"127.0.0.1:{port}",
                "--set", f"default.durability={durability}"]

    def configuration(self, durability, data="DATA", port="PORT"):
        return " ".join(["leatd", *map(str, self.command(data, port, durability)[1:])]) + "\n"
