"""What logs look like, in a process of their own: configuring them is for good."""

import json
import os
import subprocess
import sys

from tests.receiver import receiving

PROGRAM = """
import sys
import structlog
from service import logs

def fail(uploaded):
    return uploaded / 0

logs.configure("INFO")
structlog.contextvars.bind_contextvars(request_id="r-1")
log = structlog.get_logger()
log.debug("unheard")
try:
    fail(float(sys.argv[1]))  # not in the source, which a traceback shows
except ZeroDivisionError:
    log.exception("failed", text="a\\nb\\x1b[31m")
"""


def run(stderr: int) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM, "1234.5"], stderr=stderr, check=True, timeout=60)


def test_a_line_is_json_with_what_is_bound_and_nothing_breaks_it():
    reader, writer = os.pipe()
    with open(reader, encoding="utf-8") as output:
        run(writer)
        os.close(writer)
        (line,) = output.read().splitlines()
    found = json.loads(line)
    assert (found["event"], found["level"], found["request_id"]) == ("failed", "error", "r-1")
    assert "ZeroDivisionError" in found["exception"]
    assert "\x1b" not in line
    assert "1234.5" not in line


def test_a_terminal_sees_a_traceback_without_the_values_of_variables():
    reader, writer = os.openpty()
    run(writer)
    shown = os.read(reader, 100_000).decode()
    os.close(writer)
    os.close(reader)
    assert "ZeroDivisionError" in shown
    assert "1234.5" not in shown


SENDING = """
import asyncio, sys
import httpx2, structlog
from service import logs
from service.access.targets import read_targets
from service.notifications.sending import Sender
from tests.unit.notifications.samples import a_delivery, a_webhook

logs.configure("DEBUG")
webhook = a_webhook(f"http://127.0.0.1:{sys.argv[1]}/token-in-the-path?key=token-in-the-query")
sender = Sender(read_targets(f"127.0.0.1:{sys.argv[1]}"), allow_http=True)
found = asyncio.run(sender.send(webhook, a_delivery(webhook)))
structlog.get_logger().info("sent", status=found.attempt.status)
"""


def test_the_address_of_a_webhook_is_in_no_log():
    with receiving() as target:
        command = [sys.executable, "-c", SENDING, str(target.port)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert [received.path for received in target.received] == ["/token-in-the-path?key=token-in-the-query"]
    assert '"status": 204' in ran.stderr
    assert "token" not in ran.stderr
