# SPDX-License-Identifier: GPL-2.0-or-later
# Each disk is written by one CPU, and read by all.
for disk in /dev/vd?; do
	name=${disk#/dev/}
	mount -t ext4 "$disk" /mnt
	dd if=/dev/urandom of=/tmp/data bs=64k count=16 2>/dev/null
	cp /tmp/data /mnt/file
	sync
	right=all
	for cpu in $(seq 0 $(($(grep -c ^processor /proc/cpuinfo) - 1))); do
		echo 3 >/proc/sys/vm/drop_caches
		taskset "$(printf %x $((1 << cpu)))" cmp /tmp/data /mnt/file ||
			right="WRONG: not all"
	done
	umount /mnt
	echo "guest-disks: $name right on $right CPUs"
done
echo "guest-disks: block" /sys/block/* ", net" /sys/class/net/*
