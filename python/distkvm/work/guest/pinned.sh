# SPDX-License-Identifier: GPL-2.0-or-later
# A process for each CPU, pinned there, that computes; sum of events a second.
. ./lib.sh
[ "$PHASE" != work ] || {
	for cpu in $(seq 0 $((CPUS - 1))); do
		on "$cpu" sysbench cpu --threads=1 --time=6 run >"out$cpu" &
	done
	wait
	# wait says nothing of how they ended.
	value rate "$(cat out[0-9]* | awk -v cpus="$CPUS" '
		/events per second/ { n++; sum += $4 }
		END { if (n == cpus) print sum }')"
}
