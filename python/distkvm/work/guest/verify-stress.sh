# SPDX-License-Identifier: GPL-2.0-or-later
# Programs that check their own results, for each CPU one of each, a group after
# the other: memory; words that CPUs share; messages and wake-ups; tasks and
# translations; computing.
. ./lib.sh
groups() {
	cat <<-END
		cpu vm vm-rw mremap shm
		cacheline dekker peterson mutex lockbus
		pipe sock mq sem switch
		fork pthread mmap tlb-shootdown
		qsort zlib hash matrix
	END
}

# A program may lack time to begin, and says that it lacks something (status 3), or
# (status 2) that it has made none of its threads, of which no other one is wrong.
LACKS=3 WRONG=2
NO_TIME='could not create any pthreads'
# Tries, each twice as long.
TRIES=6

# stress SECONDS PROGRAM...: NAME OPERATIONS of each, in "done".  Sizes leave room
# for all of a group in the guest's memory.
stress() {
	seconds=$1
	shift
	options=
	for name; do
		options="$options --$name $CPUS"
	done
	server stress-ng $options --verify -t "$seconds" --metrics-brief \
		--temp-path /tmp --vm-bytes 8m --vm-rw-bytes 2m --mmap-bytes 2m \
		--mremap-bytes 2m --shm-bytes 2m --qsort-size 16384 \
		>out 2>&1 </dev/null || {
		status=$?
		cat out
		[ $status = $LACKS ] || {
			[ $status = $WRONG ] && grep -q "fail:.*$NO_TIME" out &&
				! grep fail: out | grep -qv "$NO_TIME"
		} || exit $status
	}
	awk '/metrc:/ && $5 ~ /^[0-9]+$/ { print $4, $5 }' out >done
}

# A program that did nothing has verified nothing.
all_worked() {
	for name; do
		grep -q "^$name [1-9]" done || return
	done
}

[ "$PHASE" != work ] || {
	: >operations
	groups | while read -r group; do
		slice=$((TIME / $(groups | wc -l) + 1)) tries=1
		until stress $slice $group && all_worked $group; do
			echo "not all of $group did something in $slice s"
			[ $tries -lt $TRIES ] || exit 1
			slice=$((slice * 2)) tries=$((tries + 1))
		done
		cat done >>operations
	done
	value programs "$(wc -l <operations)"
	value operations "$(awk '{ sum += $2 } END { print sum }' operations)"
}
