"""A Celery application with one task that does nothing."""

import os

from celery import Celery

app = Celery("celery_tasks", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_RESULTS"])
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=4,
    worker_send_task_events=False,
)


@app.task
def nothing(number):
    return number
