# SPDX-License-Identifier: GPL-2.0-or-later
# Programs that check themselves; operations a second, all kinds together.
. ./lib.sh
[ "$PHASE" != work ] || {
	server stress-ng --cpu 2 --vm 2 --vm-bytes 32m --fork 2 --pipe 2 --futex 2 \
		--verify -t 8 --metrics-brief --temp-path /tmp >out 2>&1
	value rate "$(awk '/metrc|info/ && $5 ~ /^[0-9]+$/ { sum += $5 }
		END { if (sum) print sum / 8 }' out)"
}
