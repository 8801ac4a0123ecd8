#!/bin/sh
# Starts nats-server with the users of nats.conf. A password comes from NATS_<USER>_PASSWORD or, where NATS_<USER>_PASSWORD_FILE names
# a file, from that. With NATS_CLUSTER_ROUTES, the hosts of all servers, it is one of a cluster; each needs a NATS_SERVER_NAME.
set -eu

for user in GATEWAY MEETINGS SCHEDULER OBSERVER CLUSTER; do
	eval "file=\${NATS_${user}_PASSWORD_FILE:-}"
	if [ -n "$file" ]; then
		password=$(cat "$file")
		export "NATS_${user}_PASSWORD=$password"
	fi
done

conf=/etc/meet/nats.conf
if [ -n "${NATS_CLUSTER_ROUTES:-}" ]; then
	conf=/tmp/nats.conf
	umask 077
	{
		echo 'include "../etc/meet/nats.conf"'
		echo "server_name: ${NATS_SERVER_NAME:?}"
		echo 'cluster {'
		echo '  name: meet'
		echo '  listen: 0.0.0.0:6222'
		echo '  authorization {user: route, password: $NATS_CLUSTER_PASSWORD, timeout: 5}'
		echo '  routes: ['
		for host in $NATS_CLUSTER_ROUTES; do
			echo "    nats://route:${NATS_CLUSTER_PASSWORD:?}@$host:6222"
		done
		echo '  ]'
		echo '}'
	} >"$conf"
fi
exec nats-server -c "$conf"
