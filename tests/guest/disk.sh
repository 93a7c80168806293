# SPDX-License-Identifier: GPL-2.0-or-later
# Files written by one CPU, read by another; the disk is ext4.
disk=$(ls /dev/vda /dev/sda 2>/dev/null | head -1)
cpus=$(grep -c ^processor /proc/cpuinfo)
mount -t ext4 "$disk" /mnt && echo "guest-disk: ext4 on $disk"
for writer in $(seq 0 $((cpus - 1))); do
	taskset "$(printf %x $((1 << writer)))" sh -c \
		"dd if=/dev/urandom of=/tmp/data bs=64k count=16 2>/dev/null
		cp /tmp/data /mnt/file-$writer; sha256sum </tmp/data >/mnt/sum-$writer"
done
sync
echo 3 >/proc/sys/vm/drop_caches
for writer in $(seq 0 $((cpus - 1))); do
	reader=$(((writer + 1) % cpus))
	sum=$(taskset "$(printf %x $((1 << reader)))" sha256sum </mnt/file-$writer)
	if [ "$sum" = "$(cat /mnt/sum-$writer)" ]; then
		echo "guest-disk: file of CPU $writer is right on CPU $reader"
	else
		echo "guest-disk: file of CPU $writer is WRONG on CPU $reader"
	fi
done
umount /mnt
echo "guest-disk: end"
