#!/usr/bin/env bash
# Draws the passwords that compose.prod.yaml reads from files, into the folder MEET_SECRETS (deploy/compose/secrets). What is there
# already stays. tls-certificate.pem, tls-key.pem and google-service-account.json are yours to put beside them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
folder=${MEET_SECRETS:-secrets}
mkdir -p "$folder"
chmod 700 "$folder"
for name in postgres-password nats-{gateway,meetings,scheduler,observer,cluster}-password admin-password secret-key; do
	if [ ! -s "$folder/$name" ]; then
		# nats-server reads a value of its configuration: a letter first, then letters and digits alone.
		printf 'p%s' "$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')" >"$folder/$name"
		echo "drew $folder/$name"
	fi
	chmod 444 "$folder/$name"
done
for name in tls-certificate.pem tls-key.pem google-service-account.json; do
	if [ -s "$folder/$name" ]; then
		chmod 444 "$folder/$name"
	else
		echo "missing: $folder/$name" >&2
	fi
done
