# SPDX-License-Identifier: GPL-2.0-or-later
# Busybox only, for kernels that cannot execute the check program, unless there is an
# NVMe disk (class 0x0108) to be checked.
cpus=$(grep -c ^processor /proc/cpuinfo)
for cpu in $(seq 0 $((cpus - 1))); do
	taskset "$(printf %x $((1 << cpu)))" sh -c \
		'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo $i' \
		>/tmp/count-$cpu &
done
wait
cat /tmp/count-*
[ "$(cat /tmp/count-* | grep -c ^20000$)" = "$cpus" ] &&
	echo "guest-plain: right on $(uname -rm)"
if grep -q ^0x0108 /sys/bus/pci/devices/*/class; then
	until [ -b /dev/nvme0n1 ]; do
		sleep 0.1
	done
	guest-check disks /dev/nvme0n1 && echo "guest-plain: disk right on all CPUs"
fi
