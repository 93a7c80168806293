# SPDX-License-Identifier: GPL-2.0-or-later
# Wait for somebody outside to do something; tick meanwhile.
while true; do
	echo "guest-idle: $(cut -d' ' -f1 /proc/uptime)"
	sleep 0.5
done
