"""Runs `true` on many hosts with the library parallel-ssh, as a program that uses it would.

    parallel_ssh_fleet.py once|serve HOSTS_FILE PORT USER KEY

once: connects, runs, prints `ok N` and ends. serve: prints `ready`; each line on stdin runs the command with the
same client, which keeps its connections, and is answered with `ok N`. At most 200 hosts at a time. Host keys
are not checked: the library does not.
"""

import sys

from pssh.clients import ParallelSSHClient

mode, hosts_file, port, user, key = sys.argv[1:]
with open(hosts_file) as lines:
    hosts = lines.read().split()
client = ParallelSSHClient(hosts, user=user, port=int(port), pkey=key, pool_size=200, allow_agent=False)


def run():
    output = client.run_command("true", stop_on_errors=False)
    client.join(output)
    for host in output:
        if host.exit_code != 0:
            print(f"failed: {host.host} {host.exception!r}", file=sys.stderr)
    return sum(1 for host in output if host.exit_code == 0)


if mode == "once":
    print("ok", run())
else:
    print("ready", flush=True)
    while sys.stdin.readline():
        print("ok", run(), flush=True)
