# SPDX-License-Identifier: GPL-2.0-or-later
# Requests to a key-value store, over loopback; gets a second.
. ./lib.sh
case $PHASE in
prepare)
	server redis-server --save '' --daemonize yes --port 6400 --dir /tmp
	sleep 1 ;;
work)
	client redis-benchmark -p 6400 -t set,get -n 3000 -c 10 --csv >out
	value rate "$(awk -F'"' '$2 == "GET" { print $4 }' out)" ;;
finish) redis-cli -p 6400 shutdown nosave ;;
esac
