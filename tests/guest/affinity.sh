# SPDX-License-Identifier: GPL-2.0-or-later
# Interrupts of disks go from CPU to CPU, moved by all CPUs, which use the disks at
# the same time.  affinity.rounds= rounds of that, affinity.disks= disks.
rounds=$(sed -n 's/.*affinity\.rounds=\([0-9]*\).*/\1/p' /proc/cmdline)
disks=$(sed -n 's/.*affinity\.disks=\([0-9]*\).*/\1/p' /proc/cmdline)

found() {
	ls /dev/sd? /dev/nvme?n1 2>/dev/null
}

# Linux changes a message when it comes the next time, on the CPU that it comes to.
move() {
	moves=0
	while [ ! -e /tmp/end ]; do
		for target in $cpus; do
			for irq in $irqs; do
				echo "$target" >"/proc/irq/$irq/smp_affinity_list" ||
					echo "guest-affinity: WRONG, $irq stays"
				moves=$((moves + 1))
			done
			# A pause by the shell itself: a program takes long to start.
			read -t 0.1 nothing <&4
		done
	done
	echo "guest-affinity: $moves moves by CPU $1"
}

until [ "$(found | wc -l)" = "$disks" ]; do
	sleep 0.1
done
add_cpus
cpus=$(seq 0 $(($(grep -c ^processor /proc/cpuinfo) - 1)))
# Not q35's own controller, which has no disk.
irqs=$(sed -n '/PCI-MSI.*\(nvme\|ahci\)/{/00:1f.2/!s/^ *\([0-9]*\):.*/\1/p}' \
	/proc/interrupts)
echo "guest-affinity: cpus online $(cat /sys/devices/system/cpu/online), disks" \
	$(found) ", interrupts" $irqs
mkfifo /tmp/silent
exec 4<>/tmp/silent
movers=
for cpu in $cpus; do
	move "$cpu" &
	movers="$movers $!"
	taskset -p "$(printf %x $((1 << cpu)))" $! >/dev/null
done
for round in $(seq "$rounds"); do
	guest-check disks $(found) && echo "guest-affinity: round $round is right"
done
touch /tmp/end
wait $movers
dmesg -r | grep '^<[0-4]>' | cut -d'>' -f2-
cat /proc/interrupts
echo "guest-affinity: end"
