# SPDX-License-Identifier: GPL-2.0-or-later
# Devices of several nodes, each used from every CPU: devices.disks= disks by file
# systems and by blocks, two network interfaces by packets from one to the other.
disks=$(sed -n 's/.*devices\.disks=\([0-9]*\).*/\1/p' /proc/cmdline)

# What has no CPU of its own is on CPU 0, and so are its pages.
taskset -p 1 $$ >/dev/null

on() {
	cpu=$1
	shift
	taskset "$(printf %x $((1 << cpu)))" "$@"
}

found() {
	ls /dev/vd? /dev/sd? /dev/nvme?n1 2>/dev/null
}

# The address of the function that a disk or an interface is of, its driver and
# its NUMA node.
function_of() {
	address=$(readlink -f "$1" | grep -o '[0-9a-f]*:[0-9a-f]*:[0-9a-f]*\.[0-7]' |
		tail -n 1)
	function=/sys/bus/pci/devices/$address
	echo "$address $(basename "$(readlink "$function/driver")")" \
		"node $(cat "$function/numa_node")"
}

# Scanning of SCSI and USB goes on after the modules are loaded.
until [ "$(found | wc -l)" = "$disks" ]; do
	sleep 0.1
done
add_cpus
echo "guest-devices: cpus online $(cat /sys/devices/system/cpu/online), $disks disks"
cpus=$(seq 0 $(($(grep -c ^processor /proc/cpuinfo) - 1)))
last=$(echo "$cpus" | tail -n 1)
for disk in $(found); do
	echo "guest-devices: $disk is $(function_of "/sys/block/${disk#/dev/}")"
done

# Each file system is made on one CPU, and checked on the next one, from the disk: the
# kernel keeps nothing of a disk that no program has open.  Paths, since busybox would
# take its own mke2fs.  Nothing is random: the kernel would have to collect that first.
mkdir /tmp/tree
dd if=/bin/guest-check of=/tmp/tree/file bs=64k count=2 2>/dev/null
uuid=01234567-89ab-cdef-0123-456789abcdef
cpu=0
for disk in $(found); do
	on $cpu /bin/mke2fs -q -F -N 16 -U $uuid -E hash_seed=$uuid -d /tmp/tree "$disk" ||
		echo "guest-devices: WRONG, no mke2fs"
	next=$(((cpu + 1) % (last + 1)))
	on $next /bin/e2fsck -fn "$disk" >/tmp/fsck 2>&1 &&
		echo "guest-devices: file system on $disk of CPU $cpu is clean on CPU $next"
	cpu=$next
done
taskset "$(printf %x $(((1 << (last + 1)) - 1)))" guest-check disks $(found) &&
	echo "guest-devices: all disks right on all CPUs"

# Each interface in a network of its own, so that packets take the cable.
unshare -n sleep 1000 &
other=$!
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do
	sleep 0.1
done
for name in eth0 eth1; do
	echo "guest-devices: $name is $(function_of /sys/class/net/$name)"
done
ip link set eth1 netns $other
there() {
	nsenter -t $other -n "$@"
}
ip addr add 10.9.9.1/24 dev eth0
ip link set eth0 up
there ip addr add 10.9.9.2/24 dev eth1
there ip link set eth1 up
# A server whose input ends would end its client: this one's never does.
mkfifo /tmp/open
exec 4<>/tmp/open
for cpu in $cpus; do
	for try in 1 2 3 4 5 6 7 8 9 10; do
		if on $cpu ping -c 1 -W 2 -s 1400 10.9.9.2 >/dev/null; then
			echo "guest-devices: answered on CPU $cpu"
			break
		fi
	done
	on $(((cpu + 1) % (last + 1))) nsenter -t $other -n \
		nc -l -p 7000 <&4 >/tmp/copy &
	server=$!
	until there netstat -ltn | grep -q :7000; do
		sleep 0.1
	done
	on $cpu nc 10.9.9.2 7000 </tmp/tree/file
	wait $server
	cmp /tmp/tree/file /tmp/copy &&
		echo "guest-devices: a file sent on CPU $cpu is right"
done
kill $other
# Warnings and what is worse, and numbers of buses; each line takes long.
dmesg -r | grep '^<[0-4]>\|PCI bridge to \[bus' | cut -d'>' -f2-
cat /proc/interrupts
grep '^unhandled' /proc/irq/*/spurious
echo "guest-devices: end"
