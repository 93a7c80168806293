# SPDX-License-Identifier: GPL-2.0-or-later
# Threads of one process that compute, one for each CPU; events a second.
. ./lib.sh
[ "$PHASE" != work ] || {
	server sysbench cpu --threads="$CPUS" --time=6 run >out
	value rate "$(awk '/events per second/ { print $4 }' out)"
}
