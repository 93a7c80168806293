# SPDX-License-Identifier: GPL-2.0-or-later
# A network interface goes while each CPU uses it, and comes again.  10.0.2.2 is
# QEMU's own router.
cpus=$(seq 0 $(($(grep -c ^processor /proc/cpuinfo) - 1)))

# Until the interface is gone.
use() {
	answers=0
	while [ -e /sys/class/net/eth0 ]; do
		ping -c 1 -W 1 10.0.2.2 >/dev/null 2>&1 || continue
		answers=$((answers + 1))
		echo $answers >/tmp/answers-$1
	done
}

for round in 1 2; do
	echo "guest-hotplug: no interface, round $round"
	until [ -e /sys/class/net/eth0 ]; do
		sleep 0.1
	done
	ip link set eth0 up
	ip addr add 10.0.2.15/24 dev eth0
	users=
	for cpu in $cpus; do
		echo 0 >/tmp/answers-$cpu
		use $cpu &
		users="$users $!"
		taskset -p "$(printf %x $((1 << cpu)))" $! >/dev/null
	done
	for cpu in $cpus; do
		until [ "$(cat /tmp/answers-$cpu)" -ge 3 ]; do
			sleep 0.1
		done
	done
	grep -q 'MSI.*\(virtio\|eth0\)' /proc/interrupts ||
		echo "guest-hotplug: WRONG, no MSI"
	echo "guest-hotplug: all CPUs use it, round $round"
	wait $users
	for cpu in $cpus; do
		echo "guest-hotplug: CPU $cpu had $(cat /tmp/answers-$cpu) answers"
	done
	echo "guest-hotplug: gone, round $round"
done
# The nodes have heard that the second one has gone when another comes.
until [ -e /sys/class/net/eth0 ]; do
	sleep 0.1
done
dmesg
echo "guest-hotplug: end"
