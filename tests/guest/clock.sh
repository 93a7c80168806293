# SPDX-License-Identifier: GPL-2.0-or-later
# The kernel compares its clocks while the guest idles, then while it computes.
s=$(sed -n 's/.*clock.s=\([0-9]*\).*/\1/p' /proc/cmdline)
busy=$(sed -n 's/.*clock.busy=\([0-9]*\).*/\1/p' /proc/cmdline)
at=/sys/devices/system/clocksource/clocksource0/current_clocksource
# The kernel has chosen once the TSC is calibrated.
sleep 3
was=$(cat $at)
sleep $((s - busy))
end=$(($(date +%s) + busy))
while [ "$(date +%s)" -lt $end ]; do
	guest-check each-cpu >/dev/null
done
dmesg | grep -i -e clocksource -e 'tsc:' -e watchdog | sed 's/^/guest-clock: /'
echo "guest-clock: was $was, is $(cat $at)"
