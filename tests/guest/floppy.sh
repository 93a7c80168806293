# SPDX-License-Identifier: GPL-2.0-or-later
# The third-party DMA controller, programmed by the last CPU.
cpu=$(($(grep -c ^processor /proc/cpuinfo) - 1))
mask=$(printf %x $((1 << cpu)))
# The driver's thread of work runs where it may when it is created.
rmmod floppy
echo "$mask" >/sys/devices/virtual/workqueue/cpumask
insmod /modules/floppy.ko
taskset "$mask" sh -c \
	'dd if=/dev/urandom of=/tmp/data bs=18k count=8 2>/dev/null
	dd if=/tmp/data of=/dev/fd0 bs=18k conv=fsync 2>/dev/null'
echo 3 >/proc/sys/vm/drop_caches
wanted=$(sha256sum </tmp/data)
found=$(taskset "$mask" dd if=/dev/fd0 bs=18k count=8 2>/dev/null | sha256sum)
if [ "$wanted" = "$found" ]; then
	echo "guest-floppy: right"
else
	echo "guest-floppy: WRONG"
fi
echo "guest-floppy: $wanted"
