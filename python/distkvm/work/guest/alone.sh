# SPDX-License-Identifier: GPL-2.0-or-later
# One thread that computes; events a second.
. ./lib.sh
[ "$PHASE" != work ] || {
	server sysbench cpu --threads=1 --time=6 run >out
	value rate "$(awk '/events per second/ { print $4 }' out)"
}
