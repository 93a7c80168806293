# SPDX-License-Identifier: GPL-2.0-or-later
# One TCP stream over loopback, Mbit/s.
. ./lib.sh
case $PHASE in
prepare) server iperf3 -s -D -I /run/work/iperf.pid ;;
work)
	client iperf3 -c 127.0.0.1 -t 8 -f m >out
	value rate "$(awk '/receiver/ { print $7 }' out)" ;;
finish) kill "$(tr -d '\0' <iperf.pid)" ;;
esac
