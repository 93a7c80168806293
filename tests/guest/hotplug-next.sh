# SPDX-License-Identifier: GPL-2.0-or-later
# A disk is pulled out and the next one comes at once: the guest gets it, and it
# stays.  Disks are told apart by their sequence numbers, as one may go and the next
# come between two looks.
cpus=$(grep -c ^processor /proc/cpuinfo)
# More than Linux takes from the pull to the slot's indicator.
stay=6

disk() {
	ls /sys/block | grep -E '^(vd|nvme)'
}

number() {
	cat "/sys/block/$(disk)/diskseq" 2>/dev/null
}

# What each CPU reads at the start of it.
words() {
	for cpu in $(seq 0 $((cpus - 1))); do
		taskset "$(printf %x $((1 << cpu)))" \
			dd if="/dev/$(disk)" bs=512 count=1 iflag=direct 2>/dev/null |
			tr -d '\0'
	done
}

dmesg -n 3
last=
for round in 1 2 3; do
	echo "guest-next: waits for disk $round"
	until now=$(number) && [ -n "$now" ] && [ "$now" != "$last" ]; do
		sleep 0.1
	done
	last=$now
	echo "guest-next: disk $round says $(words)"
	# The first is pulled out meanwhile, the second stays until it is pulled out.
	[ $round = 1 ] || {
		sleep $stay
		[ "$(number)" = "$last" ] || echo "guest-next: WRONG, disk $round has gone"
	}
	echo "guest-next: disk $round may go"
done
dmesg
echo "guest-next: end"
