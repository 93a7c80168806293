# SPDX-License-Identifier: GPL-2.0-or-later
# The wrapper of a node: it keeps the node's exit status when the tool has ended,
# and bounds its logs, since a guest writes as much as it likes.
#
# $0 is the path of the node's files without suffix.  Then come the bytes of a
# log, the seconds between two looks at it, the path of the guest's console log
# or of no file, and the node's command.
bytes=$1
seconds=$2
console=$3
shift 3

bound() {
    while sleep "$seconds" && kill -0 "$node"; do
        for log in "$0.log" "$console"; do
            if [ -f "$log" ] && [ "$(stat -c %s "$log")" -gt "$bytes" ]; then
                cp "$log" "$log.old"
                # Not ":", whose failed redirection would end the shell.
                true >"$log"
            fi
        done
    done
}

# No node runs before its wrapper is on record.
read -r line || exit
"$@" </dev/null &
node=$!
echo "$node" >"$0.pid" || {
    kill -9 "$node"
    exit 1
}
bound </dev/null >/dev/null 2>&1 &
wait "$node"
status=$?
# The wrapper leads a session: its watch goes, with what the watch waits for.
trap '' TERM
kill 0
echo "$status" >"$0.new"
mv "$0.new" "$0.exit"
