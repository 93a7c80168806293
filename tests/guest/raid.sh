# SPDX-License-Identifier: GPL-2.0-or-later
# A RAID-0 of all virtio disks, in the order of their serial numbers, which are their
# names here.  With raid.rounds= it is
# read as often, beside each disk alone: raid.mib= MiB of each disk, so that all give
# as much.  Without, each CPU writes it, and all read that.
cpus=$(seq 0 $(($(grep -c ^processor /proc/cpuinfo) - 1)))
rounds=$(sed -n 's/.*raid\.rounds=\([0-9]*\).*/\1/p' /proc/cmdline)
mib=$(sed -n 's/.*raid\.mib=\([0-9]*\).*/\1/p' /proc/cmdline)
for name in vda vdb vdc; do
	ln -s /dev/$name "/dev/$(cat /sys/block/$name/serial)"
done
disks=$(echo /dev/node?)
count=$(echo $disks | wc -w)
mkdir -p /run/mdadm
# The superblocks are at the ends of the disks, so the array has what the disks had.
mdadm --create /dev/md0 --run --level=0 --raid-devices=$count --chunk=64 \
	--metadata=1.0 $disks
cat /proc/mdstat
echo "guest-raid: $count disks, $(blockdev --getsize64 /dev/md0) bytes"
if [ "$rounds" ]; then
	for round in $(seq "$rounds"); do
		guest-check sequential 1 "$mib" $disks
		guest-check sequential 1 $((mib * count)) /dev/md0
	done
else
	guest-check disks /dev/md0 && echo "guest-raid: right on all CPUs"
	for cpu in $cpus; do
		echo 3 >/proc/sys/vm/drop_caches
		sum=$(taskset "$(printf %x $((1 << cpu)))" sha256sum </dev/md0)
		echo "guest-raid: CPU $cpu reads ${sum%% *}"
	done
fi
mdadm --stop /dev/md0
echo "guest-raid: end"
