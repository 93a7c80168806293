# SPDX-License-Identifier: GPL-2.0-or-later
# Reads of 1 MiB from the disk, past the page cache, by a small program; MiB/s.
. ./lib.sh
MIB=256
[ "$PHASE" != work ] || {
	server dd if=/dev/vda of=/dev/null bs=1M count=$MIB iflag=direct 2>out
	value mib $MIB
	awk -v mib=$MIB '/copied/ {
		for (i = 1; i < NF; i++) if ($i == "copied,") seconds = $(i + 1)
		if (seconds > 0) printf "rate %.3f\n", mib / seconds }' out >>values
	grep -q rate values
}
