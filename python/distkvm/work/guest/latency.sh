# SPDX-License-Identifier: GPL-2.0-or-later
# How late a periodic thread on each CPU wakes, ms; the guest is idle.
. ./lib.sh
case $PHASE in
prepare) sleep 3 ;;
work)
	cyclictest -q -S -i 10000 -D 8 >out
	awk '/^T:/ { n++; for (i = 1; i < NF; i++) {
		if ($i == "Avg:") sum += $(i + 1)
		if ($i == "Max:" && $(i + 1) > max) max = $(i + 1) } }
		END { if (!n) exit 1
		printf "mean_ms %.3f\nmax_ms %.3f\n", sum / n / 1000,
		max / 1000 }' out >>values ;;
esac
