#!/bin/sh
# guard.sh DIR COMMAND [ARG..]
# Runs the command in a session of its own until our stdin ends, which it does however our parent ends. Then kills by its id
# the process group that the command leads, and removes DIR. Output goes to DIR/log.
dir=$1
shift
trap '' INT HUP
setsid "$@" </dev/null >>"$dir/log" 2>&1 &
pid=$!
cat >/dev/null
kill -KILL "-$pid" 2>/dev/null
wait "$pid" 2>/dev/null
# The children of what was killed may still write for a moment.
for _ in 1 2 3 4 5; do
    rm -rf "$dir" 2>/dev/null && break
    sleep 0.2
done
