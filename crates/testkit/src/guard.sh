# Holds what a test started, and ends it with the test.
#
# Arguments: the folder, the mark, the signal that asks the server to end (or nothing: it is killed at once), then
# the server's command line (or nothing). Standard input is a pipe from
# the test. A line on it announces an orderly end, in which the test removes the folder itself; the end of the
# pipe is the end, and without such a line (the test was killed) the folder goes too.
dir=$1 mark=$2 ask=$3
shift 3
server=
if [ $# -gt 0 ]; then
    "$@" >>"$dir/log" 2>&1 &
    server=$!
fi
# After the start, because an ignored signal stays ignored in what is started.
trap '' HUP INT TERM
echo "$server"
exec >/dev/null 2>&1

orderly=
while read -r _; do orderly=1; done

# The server's descendants, and whatever carries the mark in its environment, wherever it went. Zombies are
# dead already.
victims() {
    {
        if [ -n "$server" ]; then
            grep -Hs -E '^(State|PPid):' /proc/[0-9]*/status | awk -v root="$server" -F '[/: \t]+' '
                $5 == "State" { state[$3] = $6 }
                $5 == "PPid" { parent[$3] = $6 }
                END {
                    mine[root] = 1
                    do {
                        more = 0
                        for (p in parent) if (!(p in mine) && (parent[p] in mine)) { mine[p] = 1; more = 1 }
                    } while (more)
                    for (p in mine) if (p != root && state[p] != "Z") print p
                }'
        fi
        grep -lsF "$mark" /proc/[0-9]*/environ | cut -d / -f 3
    } | sort -un
}

if [ -n "$server" ] && [ -n "$ask" ] && kill -"$ask" "$server"; then
    # Two seconds at most; a child that has ended and was not waited for is a zombie.
    moment=0
    while [ "$moment" -lt 200 ] && ! grep -qs '^State:[[:space:]]*Z' "/proc/$server/status"; do
        sleep 0.01
        moment=$((moment + 1))
    done
fi
[ -n "$server" ] && kill -STOP "$server"
round=0
while [ "$round" -lt 100 ]; do
    list=$(victims)
    [ -z "$list" ] && break
    kill -KILL $list
    round=$((round + 1))
done
if [ -n "$server" ]; then
    kill -KILL "$server"
    wait "$server"
fi
[ -n "$orderly" ] || rm -rf "$dir"
