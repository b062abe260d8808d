"""Enqueues what it is told on its standard input, a line of JSON at a time, and answers each line when Redis has the jobs."""
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from bench_app import app, bench


def enqueue(jobs):
    with app.producer_pool.acquire(block=True) as producer:
        for job in jobs:
            bench.apply_async((job,), producer=producer)


def enqueue_from(callers, jobs):
    """Threads share one interpreter: each enqueues its part of the jobs, one after another."""
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(enqueue, [jobs[part::callers] for part in range(callers)]))


for line in sys.stdin:
    order = json.loads(line)
    if order["callers"] == 1:
        enqueue(order["jobs"])
    else:
        enqueue_from(order["callers"], order["jobs"])
    print(json.dumps({"id": order["id"]}), flush=True)
