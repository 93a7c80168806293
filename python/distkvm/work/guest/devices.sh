# SPDX-License-Identifier: GPL-2.0-or-later
# All disks but that of these scripts, and two network interfaces: each CPU writes
# blocks with checksums to all disks at once, and each reads what the others wrote;
# file systems are made on one CPU and checked on the next; packets go from one
# interface to the other.
. ./lib.sh
MIB=2
NET=/run/work/net
# The disk of the system is used by a file.
ROOT=$(awk '$2 == "/" { sub("/dev/", "", $1); print $1 }' /proc/mounts)

disks() {
	for disk in /sys/block/vd? /sys/block/sd? /sys/block/nvme*n1; do
		name=${disk##*/}
		case $name in
		"$ROOT" | vdb | *\*) ;;
		*) echo "/dev/$name" ;;
		esac
	done
}

next() { echo $((($1 + 1) % CPUS)); }

# fio_on TURN VERIFY: one run of fio over all disks.  What a CPU has written is read
# by the CPU that is TURN after it.
fio_on() {
	turn=$1
	shift
	for file in $(disks) /var/tmp/devices; do
		for cpu in $(seq 0 $((CPUS - 1))); do
			set -- "$@" "--name=${file##*/}-$cpu" "--filename=$file" \
				"--offset=$((cpu * MIB))m" \
				"--cpus_allowed=$(((cpu + turn) % CPUS))"
			count=$((count + 1))
		done
	done
	fio --output-format=json --output=fio.json --rw=randwrite --size=${MIB}m \
		--bs=16k --ioengine=libaio --direct=1 --iodepth=8 --verify=crc32c \
		--verify_fatal=1 --verify_state_save=0 "$@"
}

blocks() {
	truncate -s $((CPUS * MIB))M /var/tmp/devices
	fio_on 0 --do_verify=0
	sync
	for turn in $(seq "$CPUS"); do
		count=0
		fio_on "$turn" --verify_only
		python3 fio_read.py fio.json $((MIB * count << 10))
		mib=$((mib + MIB * count))
	done
}

file_system() {
	taskset -c "$2" mkfs.ext4 -q -F "$1"
	taskset -c "$2" mount "$1" /mnt
	taskset -c "$2" cp /usr/bin/[a-m]* /mnt 2>/dev/null || true
	(cd /mnt && busybox find . -type f -exec taskset -c "$2" sha256sum {} +) >sums
	umount /mnt
	taskset -c "$(next "$2")" e2fsck -fn "$1"
	taskset -c "$(next "$2")" mount -o ro "$1" /mnt
	(cd /mnt && taskset -c "$(next "$2")" sha256sum --quiet -c /run/work/sums)
	umount /mnt
	systems=$((systems + 1))
}

there() { nsenter --net=$NET "$@"; }

# Each interface in a network of its own, so that packets take the cable.
cable() {
	touch $NET
	unshare --net=$NET true
	nsenter --net=$NET sleep 600 &
	while [ "$(readlink /proc/$!/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do
		sleep 0.1
	done
	busybox ip link set eth1 netns $!
	busybox ip addr add 10.9.9.1/24 dev eth0
	busybox ip link set eth0 up
	there busybox ip addr add 10.9.9.2/24 dev eth1
	there busybox ip link set eth1 up
	for cpu in $(seq 0 $((CPUS - 1))); do
		taskset -c "$cpu" busybox ping -c 3 -W 5 -s 1400 10.9.9.2
		there taskset -c "$(next "$cpu")" iperf3 -s -1 -D
		sleep 1
		taskset -c "$cpu" iperf3 -c 10.9.9.2 -t 3 -f m >out
		mbit=$(awk '/receiver/ { print $7 }' out)
		value "mbit$cpu" "$mbit"
	done
}

case $PHASE in
work)
	mib=0 systems=0 cpu=0 count=0
	blocks
	for disk in $(disks); do
		file_system "$disk" $cpu
		cpu=$(next $cpu)
	done
	cable
	value mib $mib
	value systems $systems ;;
finish) rm -f /var/tmp/devices ;;
esac
