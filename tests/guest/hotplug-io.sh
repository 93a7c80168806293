# SPDX-License-Identifier: GPL-2.0-or-later
# A disk goes while all CPUs write it, and read its configuration space; when it
# comes again it has all that was written.  hotplug.rounds= rounds, hotplug.by=
# the rounds in which the guest switches the slot off itself.
cpus=$(grep -c ^processor /proc/cpuinfo)
rounds=$(sed -n 's/.*hotplug\.rounds=\([0-9]*\).*/\1/p' /proc/cmdline)
own=,$(sed -n 's/.*hotplug\.by=\([0-9,]*\).*/\1/p' /proc/cmdline),
# Of 16 KiB, a ring for each CPU.
blocks=32

disk() {
	ls /dev/vd? /dev/nvme*n1 2>/dev/null
}

# Of the disk's function, as slots have it.
place() {
	name=$(disk)
	readlink -f "/sys/block/${name#/dev/}" |
		grep -o '[0-9a-f]*:[0-9a-f]*:[0-9a-f]*\.[0-7]' | tail -n 1 |
		cut -d. -f1
}

# Linux makes the name before the disk can be opened.
wait_disk() {
	until dd if="$(disk)" of=/dev/null bs=512 count=1 iflag=direct 2>/dev/null
	do
		sleep 0.1
	done
}

on() {
	taskset -p "$(printf %x $((1 << $1)))" "$2" >/dev/null
}

# Until an access fails.  The name may go before the disk does, and would become
# a file: descriptor 3 is the disk.
use() {
	passes=0
	exec 3<>"$(disk)"
	while :; do
		at=$(($1 * blocks + passes % blocks))
		rm -f /tmp/block-$at
		dd if=/dev/urandom of=/tmp/new-$1 bs=16k count=1 2>/dev/null
		dd if=/tmp/new-$1 of=/proc/self/fd/3 bs=16k seek=$at \
			oflag=direct conv=notrunc,fsync 2>/dev/null || break
		dd if=/proc/self/fd/3 of=/tmp/old-$1 bs=16k skip=$at count=1 \
			iflag=direct 2>/dev/null || break
		# A disk that goes has no bytes for a while before reads fail.
		[ -s /tmp/old-$1 ] || break
		cmp -s /tmp/new-$1 /tmp/old-$1 ||
			echo "guest-hotplug: WRONG, CPU $1 reads what it has not written"
		mv /tmp/new-$1 /tmp/block-$at
		passes=$((passes + 1))
		echo $passes >/tmp/passes-$1
	done
}

# The rest of the guest: it computes, and looks at the devices.
live() {
	while :; do
		if [ "$(sha256sum </tmp/data)" != "$sum" ]; then
			echo "guest-hotplug: WRONG, CPU $1 computes something else"
		fi
		for f in /sys/bus/pci/devices/*; do
			dd if=$f/config of=/dev/null bs=256 count=1 2>/dev/null
		done
		echo >>/tmp/lives-$1
	done
}

lives() {
	wc -l </tmp/lives-$1
}

# Each CPU comes further.
all_live() {
	for cpu in $(seq 0 $((cpus - 1))); do
		before=$(lives $cpu)
		until [ "$(lives $cpu)" -gt $((before + 1)) ]; do
			sleep 0.1
		done
	done
}

begin() {
	users=
	for cpu in $(seq 0 $((cpus - 1))); do
		echo 0 >/tmp/passes-$cpu
		use $cpu &
		users="$users $!"
		on $cpu $!
	done
	for cpu in $(seq 0 $((cpus - 1))); do
		until [ "$(cat /tmp/passes-$cpu)" -ge 3 ]; do
			sleep 0.1
		done
	done
}

# The disk has the block of this file.
has() {
	dd if="$(disk)" of=/tmp/read bs=16k skip=${1#/tmp/block-} count=1 \
		iflag=direct 2>/tmp/said || sed 's/^/guest-hotplug: /' /tmp/said
	cmp -s /tmp/read $1
}

check() {
	right=0
	for file in /tmp/block-*; do
		[ -e $file ] || continue
		if has $file; then
			right=$((right + 1))
		else
			echo "guest-hotplug: WRONG, ${file#/tmp/} is lost:" \
				"$(wc -c </tmp/read) bytes read," \
				"$(cmp -l /tmp/read $file | wc -l) differ"
			has $file && echo "guest-hotplug: and is there again"
		fi
	done
	echo "guest-hotplug: round $round, $right blocks are right"
}

# Errors of the disk are no news, and would cut lines of this script in two; the
# whole log comes at the end.
dmesg -n 3
dmesg -c >/dev/null
dd if=/dev/urandom of=/tmp/data bs=64k count=4 2>/dev/null
sum=$(sha256sum </tmp/data)
for cpu in $(seq 0 $((cpus - 1))); do
	echo -n >/tmp/lives-$cpu
	live $cpu &
	on $cpu $!
done
for round in $(seq $rounds); do
	echo "guest-hotplug: no disk, round $round"
	wait_disk
	check
	begin
	echo "guest-hotplug: all CPUs use it, round $round"
	case $own in
	*,$round,*)
		place=$(place)
		for slot in /sys/bus/pci/slots/*; do
			[ "$(cat $slot/address)" = "$place" ] && echo 0 >$slot/power
		done
		;;
	esac
	wait $users
	until [ -z "$(disk)" ]; do
		sleep 0.1
	done
	all_live
	echo "guest-hotplug: gone, round $round, after$(for cpu in \
		$(seq 0 $((cpus - 1))); do echo " $(cat /tmp/passes-$cpu)"; done |
		tr -d '\n') passes"
done
wait_disk
round=last
check
dmesg
echo "guest-hotplug: end"
