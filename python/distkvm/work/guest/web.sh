# SPDX-License-Identifier: GPL-2.0-or-later
# Requests to a web server, over loopback; requests a second.
. ./lib.sh
case $PHASE in
prepare)
	mkdir -p /var/www/html
	head -c 4096 /dev/zero | tr '\0' a >/var/www/html/file
	server nginx
	sleep 1 ;;
work)
	client ab -q -n 1000 -c 8 http://127.0.0.1/file >out
	grep -q '^Failed requests: *0$' out
	if grep '^Non-2xx' out; then exit 1; fi
	value rate "$(awk '/^Requests per second/ { print $4 }' out)" ;;
finish) nginx -s stop ;;
esac
