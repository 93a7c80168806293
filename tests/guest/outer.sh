# SPDX-License-Identifier: GPL-2.0-or-later
# A machine that plays a host: its first disk is the host's root, its second
# a script to run there.
ip link set lo up
mount -t ext4 -o ro /dev/vda /mnt
mount -t tmpfs tmp /mnt/tmp
mount -t proc proc /mnt/proc
mount -t sysfs sys /mnt/sys
mount -t devtmpfs dev /mnt/dev
mkdir -p /mnt/dev/shm
mount -t tmpfs shm /mnt/dev/shm
tr -d '\0' </dev/vdb >/mnt/tmp/job
echo "outer: up, $(grep -c ^processor /proc/cpuinfo) CPUs," \
	"npt $(cat /sys/module/kvm_amd/parameters/npt 2>&1)"
chroot /mnt /bin/busybox sh /tmp/job
echo "outer: job ended with $?"
