# SPDX-License-Identifier: GPL-2.0-or-later
# A network interface whose interrupts go to the last of many CPUs, which comes
# up first.  10.0.2.2 is QEMU's own router.
last=$(sed 's/.*-//' /sys/devices/system/cpu/present)
echo 1 >"/sys/devices/system/cpu/cpu$last/online"
echo "guest-many: cpus online $(cat /sys/devices/system/cpu/online)"

input() {
	grep 'virtio.*-input' /proc/interrupts
}

# Only CPUs that are online have a column: CPU 0, and the last one.
count() {
	input | awk '{ print $3 }'
}

irq=$(input | cut -d: -f1 | tr -d ' ')
echo "$last" >"/proc/irq/$irq/smp_affinity_list"
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ping -c 1 -W 2 10.0.2.2 >/dev/null
before=$(count)
ping -c 20 -i 0.2 -W 2 10.0.2.2 | grep received | sed 's/^/guest-many: /'
input
[ "$(count)" -gt "$before" ] && echo "guest-many: CPU $last has its interrupts"
cat "/proc/irq/$irq/effective_affinity_list"
echo "guest-many: end"
