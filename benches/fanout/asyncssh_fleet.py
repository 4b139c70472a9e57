"""Runs `true` on many hosts with asyncssh, as a program that uses the library would.

    asyncssh_fleet.py once|serve HOSTS_FILE PORT USER KEY

once: connects, runs, prints `ok N` and ends. serve: prints `ready`; each line on stdin runs the command over
connections that are kept (the first makes them) and is answered with `ok N`. At most 200 connect at a time.
Host keys are not checked: that is the library's cheapest way.
"""

import asyncio
import sys

import asyncssh

mode, hosts_file, port, user, key = sys.argv[1:]
with open(hosts_file) as lines:
    hosts = lines.read().split()


def connect(host):
    return asyncssh.connect(
        host,
        int(port),
        username=user,
        client_keys=[key],
        known_hosts=None,
        config=None,
        agent_path=None,
    )


async def once():
    places = asyncio.Semaphore(200)

    async def one(host):
        async with places, connect(host) as connection:
            return (await connection.run("true")).exit_status

    return await asyncio.gather(*map(one, hosts), return_exceptions=True)


async def run_on(kept):
    places = asyncio.Semaphore(200)

    async def one(host):
        if host not in kept:
            async with places:
                kept[host] = await connect(host)
        return (await kept[host].run("true")).exit_status

    return await asyncio.gather(*map(one, hosts), return_exceptions=True)


def succeeded(results):
    for result in results:
        if result != 0:
            print(f"failed: {result!r}", file=sys.stderr)
    return sum(1 for result in results if result == 0)


async def serve():
    kept = {}
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print("ok", succeeded(await run_on(kept)), flush=True)


if mode == "once":
    print("ok", succeeded(asyncio.run(once())))
else:
    asyncio.run(serve())
