# SPDX-License-Identifier: GPL-2.0-or-later
# Runs workloads that the host asks for on the serial console, one at a time:
#   host:  NAME SERVER CLIENT    numbers of CPUs, or - for any
#   guest: work: ready           what NAME needs is there
#   host:  go
#   guest: work: ended
#   guest: work: value KEY N     as often as NAME has values
#   guest: work: done STATUS SECONDS
# Seconds are of the guest's clock.  "quit" powers off.
cd /run/work || exit 1
LIMIT=600
stty -echo

uptime() { cut -d' ' -f1 /proc/uptime; }
now() { date +%s.%N; }
difference() { awk "BEGIN { printf \"%.3f\", $2 - $1 }"; }
# Only a failure shows what programs said.
show() { tail -n 15 "$1" | cut -c1-160 | sed 's/^/work: log: /'; }

# Interrupts between CPUs, and timers, so far: to wake a task, to call a function,
# to drop translations of addresses.
interrupts() {
	awk '$1 ~ /^(LOC|RES|CAL|TLB):$/ { sum = 0
		for (i = 2; $i ~ /^[0-9]+$/; i++) sum += $i
		print tolower(substr($1, 1, 3)), sum }' /proc/interrupts
}

step() { timeout -k 5 $LIMIT sh "./$1.sh" "$2" "$3" "$4" >"$5" 2>&1 </dev/null; }

run() {
	rm -f values
	if ! step "$1" prepare "$2" "$3" prepare.log; then
		show prepare.log
		echo "work: done 1 0"
		return
	fi
	interrupts >before
	echo "work: ready"
	read -r _
	started=$(now)
	step "$1" work "$2" "$3" work.log
	status=$?
	ended=$(now)
	echo "work: ended"
	[ $status = 0 ] || show work.log
	interrupts | paste -d' ' before - | while read -r name old _ new; do
		echo "interrupts_$name $((new - old))" >>values
	done
	[ ! -e values ] || sed 's/^/work: value /' values
	echo "work: done $status $(difference "$started" "$ended")"
	step "$1" finish "$2" "$3" finish.log
}

echo "work: up $(uptime) cpus $(cat /sys/devices/system/cpu/online)" \
	"nodes $(cat /sys/devices/system/node/online 2>/dev/null)"
while read -r name server client; do
	case $name in
	quit) systemctl poweroff ;;
	'') ;;
	*) run "$name" "$server" "$client" ;;
	esac
done
