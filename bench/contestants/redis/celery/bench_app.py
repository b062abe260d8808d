"""The Celery application of the benchmark: its settings, its task, and what tells the benchmark when each job starts.

A worker of it is started by ../celery.mjs and ends when that does. Starts are gathered for some milliseconds before they
are sent, from a thread, so that telling them costs a job next to nothing.
"""
import json
import os
import socket
import threading
import time

from celery import Celery
from celery.signals import worker_ready

URL = os.environ["BENCH_URL"]
TASK = json.loads(os.environ.get("BENCH_TASK", '{"kind": "nothing"}'))
REPORT_SECONDS = 0.01

app = Celery("bench", broker=f"{URL}/0")
app.conf.update(
    # Callers that want no results need no backend, and with one they would subscribe to each job's result.
    result_backend=f"{URL}/1" if "BENCH_PORT" in os.environ else None,
    result_expires=24 * 3600,
    task_default_queue="bench",
    task_acks_late=False,
    worker_prefetch_multiplier=4,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    broker_pool_limit=10,
)


class Reporter:
    """Sends the starts of this process's jobs; a connection that ends means that the benchmark did."""

    def __init__(self):
        self.starts = []
        self.channel = socket.create_connection(("127.0.0.1", int(os.environ["BENCH_PORT"])))
        for target in (self.send_all, self.watch):
            threading.Thread(target=target, daemon=True).start()

    def send(self, message):
        self.channel.sendall((json.dumps(message) + "\n").encode())

    def send_all(self):
        while True:
            time.sleep(REPORT_SECONDS)
            starts, self.starts = self.starts, []
            if starts:
                self.send({"starts": starts})

    def watch(self):
        try:
            while self.channel.recv(1024):
                pass
        finally:
            # Also when the connection is reset, since starts were on their way.
            os._exit(0)


reporters = {}
reporters_lock = threading.Lock()


def reporter():
    """That of this process: a pool may have forked it."""
    pid = os.getpid()
    if pid not in reporters:
        with reporters_lock:
            if pid not in reporters:
                reporters[pid] = Reporter()
    return reporters[pid]


@worker_ready.connect
def tell_ready(**_):
    reporter().send({"ready": True})


def perform():
    if TASK["kind"] == "wait":
        time.sleep(TASK["ms"] / 1000)
    if TASK["kind"] == "cpu":
        until = time.thread_time() + TASK["ms"] / 1000
        while time.thread_time() < until:
            pass


@app.task(name="bench")
def bench(job):
    reporter().starts.append((job["n"], time.monotonic() * 1000))
    perform()
    return {"ok": True}
