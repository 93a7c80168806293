# SPDX-License-Identifier: GPL-2.0-or-later
# A disk that comes while the guest runs is written and read by all CPUs; while
# it goes one CPU works on.
cpus=$(grep -c ^processor /proc/cpuinfo)
for round in 1 2; do
	echo "guest-hotplug: no disk, round $round"
	until [ -b /dev/vda ]; do
		sleep 1
	done
	mount -t ext4 /dev/vda /mnt
	dd if=/dev/urandom of=/tmp/data bs=64k count=16 2>/dev/null
	cp /tmp/data "/mnt/file-$round"
	sync
	right=all
	for cpu in $(seq 0 $((cpus - 1))); do
		echo 3 >/proc/sys/vm/drop_caches
		taskset "$(printf %x $((1 << cpu)))" \
			cmp /tmp/data "/mnt/file-$round" || right="WRONG: not all"
	done
	umount /mnt
	grep -q 'MSI.*virtio' /proc/interrupts || echo "guest-hotplug: WRONG, no MSI"
	echo "guest-hotplug: round $round is right on $right CPUs"
	while [ -b /dev/vda ]; do
		sha256sum </tmp/data >/dev/null
	done
	echo "guest-hotplug: gone, round $round"
done
# One more, which is there at the power-off: the slot is off by then.
until [ -b /dev/vda ]; do
	sleep 1
done
echo "guest-hotplug: end"
