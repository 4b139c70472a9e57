"""Sends tasks one by one and waits until every result is stored; prints the seconds that it took."""

import os
import sys
import time

import redis
from celery_tasks import nothing

count = int(sys.argv[1])
results = redis.Redis.from_url(os.environ["BENCH_RESULTS"])
results.flushdb()
begin = time.monotonic()
for number in range(count):
    nothing.delay(number)
while results.dbsize() < count:
    if time.monotonic() - begin > 300:
        sys.exit("only %d of %d results came" % (results.dbsize(), count))
    time.sleep(0.02)
print("seconds %.3f" % (time.monotonic() - begin))
