# SPDX-License-Identifier: GPL-2.0-or-later
# Parts of workloads.  Each workload is called with prepare, work or finish, the
# CPU of its server and the CPU of its client; - is any CPU.  Those that verify also
# get the seconds for which they go on, and may get a mistake that they must find.
set -e
PHASE=$1 SERVER=$2 CLIENT=$3 TIME=${4:-0} PLANT=$5
CPUS=$(nproc --all)
PG=/usr/lib/postgresql/15/bin

seconds() { cut -d. -f1 /proc/uptime; }

# A program that printed no figure has failed.
value() {
	[ "$2" ] || {
		echo "no $1 in the output"
		return 1
	}
	echo "$1 $2" >>values
}

node_of() {
	for node in /sys/devices/system/cpu/cpu"$1"/node*; do
		echo "${node##*node}"
	done
}

# Run a program on a CPU, with its memory there if the guest has NUMA nodes.
on() {
	cpu=$1
	shift
	if [ "$cpu" = - ]; then
		"$@"
	elif [ -e /sys/devices/system/node/node1 ]; then
		numactl "--physcpubind=$cpu" "--membind=$(node_of "$cpu")" "$@"
	else
		taskset -c "$cpu" "$@"
	fi
}

server() { on "$SERVER" "$@"; }
client() { on "$CLIENT" "$@"; }
