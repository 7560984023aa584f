"""A real S3-compatible server with one bucket, which lets nobody in without its key."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.store import S3Store

from service.storage.bucket_address import BucketAddress, Credentials

BUCKET = "phasegate"
KEY = Credentials("AKPHASEGATETEST", "a-secret-of-tests-and-nobody-else")
READER = Credentials("AKPHASEGATEREAD", "may-read-and-list-but-never-write")
PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
PORTS += ("filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc")


@dataclass
class BucketServer:
    """A server that can be killed and started again on the same data and ports."""

    folder: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3.port']}"

    def address(self, prefix: str | None, credentials: Credentials = KEY, bucket: str = BUCKET) -> BucketAddress:
        return BucketAddress(bucket, prefix, self.endpoint, "us-east-1", credentials, allow_http=True)

    def environment(self, prefix: str) -> dict[str, str]:
        """What a service needs to use a prefix of the bucket."""
        return {
            "PHASEGATE_STORE_URL": f"s3://{BUCKET}/{prefix}",
            "PHASEGATE_STORE_ALLOW_HTTP": "true",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY.access_key_id,
            "AWS_SECRET_ACCESS_KEY": KEY.secret_access_key,
        }

    def start(self) -> None:
        program = Path(sys.executable).parent / "weed"
        command = [
            *(str(program), "server", f"-dir={self.folder}", "-filer", "-s3", f"-s3.config={self._config()}"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false", "-s3.autoCreateBucket=false"),
            *(
                "-master.electionTimeout=1s",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-volume.max=30",
                "-master.volumeSizeLimitMB=128",
            ),
            *(f"-{name}={port}" for name, port in self.ports.items()),
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + 60
        while not self._has_bucket():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the bucket's server is not ready"
            time.sleep(0.1)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _config(self) -> Path:
        path = self.folder / "s3.json"
        identities = [("tests", KEY, ["Admin", "Read", "Write", "List"]), ("reader", READER, ["Read", "List"])]
        known = [
            {
                "name": name,
                "credentials": [{"accessKey": key.access_key_id, "secretKey": key.secret_access_key}],
                "actions": actions,
            }
            for name, key, actions in identities
        ]
        path.write_text(json.dumps({"identities": known}))
        return path

    def _has_bucket(self) -> bool:
        """Create the bucket and write to it; False if the server cannot do so yet."""
        store = S3Store(
            BUCKET,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=KEY.access_key_id,
            secret_access_key=KEY.secret_access_key,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )
        try:
            request = urllib.request.Request(obstore.sign(store, "PUT", "", timedelta(seconds=60)), method="PUT")
            with urllib.request.urlopen(request, timeout=5):
                pass
        except urllib.error.HTTPError as error:
            if error.code != 409:  # it is there already
                return False
        except OSError:
            return False
        try:
            obstore.put(store, "ready", b"1")
        except obstore.exceptions.BaseError:
            return False
        return True


def new_server(folder: Path) -> BucketServer:
    """A server that is not started, on ports that nobody uses."""
    sockets = [socket.socket() for _ in PORTS]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = {name: each.getsockname()[1] for name, each in zip(PORTS, sockets, strict=True)}
    for each in sockets:
        each.close()
    return BucketServer(folder, ports)
