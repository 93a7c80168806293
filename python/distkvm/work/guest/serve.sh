# SPDX-License-Identifier: GPL-2.0-or-later
# Runs workloads that the host asks for on the serial console, one at a time:
#   host:  NAME SERVER CLIENT [SECONDS [MISTAKE]]    numbers of CPUs, or - for any
#   guest: work: alive CPU=N...  now and then, if there are SECONDS (alive.py)
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

# step PHASE NAME SERVER CLIENT [SECONDS [MISTAKE]]
step() {
	phase=$1 name=$2
	shift 2
	timeout -k 5 $((LIMIT + ${3:-0})) sh "./$name.sh" "$phase" "$@" \
		>"$phase.log" 2>&1 </dev/null
}

run() {
	rm -f values
	if ! step prepare "$@"; then
		show prepare.log
		echo "work: done 1 0"
		return
	fi
	interrupts >before
	echo "work: ready"
	read -r _
	started=$(now)
	step work "$@"
	status=$?
	ended=$(now)
	echo "work: ended"
	[ $status = 0 ] || show work.log
	interrupts | paste -d' ' before - | while read -r name old _ new; do
		echo "interrupts_$name $((new - old))" >>values
	done
	[ ! -e values ] || sed 's/^/work: value /' values
	echo "work: done $status $(difference "$started" "$ended")"
	step finish "$@"
}

# With a sign of life of each CPU.
watched() {
	python3 alive.py &
	run "$@"
	kill $!
}

echo "work: up $(uptime) cpus $(cat /sys/devices/system/cpu/online)" \
	"nodes $(cat /sys/devices/system/node/online 2>/dev/null)"
while read -r name server client time mistake; do
	case $name in
	quit) break ;;
	'') ;;
	*) if [ "$time" ]; then
		watched "$name" "$server" "$client" "$time" "$mistake"
	else
		run "$name" "$server" "$client"
	fi ;;
	esac
done
# Else the parent ends the guest when this ends.
[ ! -d /run/systemd/system ] || systemctl poweroff
