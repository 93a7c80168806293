# SPDX-License-Identifier: GPL-2.0-or-later
# Tasks that wake each other.
. ./lib.sh
[ "$PHASE" != work ] || {
	server hackbench -g 2 -l 100 >out
	value seconds "$(awk '/^Time/ { print $2 }' out)"
}
