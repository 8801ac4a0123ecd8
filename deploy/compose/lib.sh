# What backup and restore share; they source it from the root of the repository.
# shellcheck shell=bash
# shellcheck disable=SC2016 # what stands in single quotes is expanded in the container

# compose is the stack's own: of the files in COMPOSE_FILE, else of the command that make gives in COMPOSE, else of the root's
# compose.yaml; in the project PROJECT where it is given.
compose_command=(docker compose)
if [ -z "${COMPOSE_FILE:-}" ] && [ -n "${COMPOSE:-}" ]; then read -r -a compose_command <<<"$COMPOSE"; fi
compose() { "${compose_command[@]}" ${PROJECT:+--project-name "$PROJECT"} "$@"; }

say() { printf '%s\n' "$*" >&2; }

die() {
	say "$(basename "$0"): $*"
	exit 1
}

sha256() {
	if command -v sha256sum >/dev/null; then sha256sum "$1" | cut -d ' ' -f 1; else shasum -a 256 "$1" | cut -d ' ' -f 1; fi
}

bytes() { wc -c <"$1" | tr -d ' '; }

# in_db runs a program in the database's container, which lets its own users in without a password; its settings name user and database.
in_db() { compose exec -T db sh -c "$1" sh "${@:2}"; }

# sql runs statements from the standard input on a database, as one script that ends at the first error.
sql() { in_db 'PGOPTIONS=--client-min-messages=warning exec psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "${1:-$POSTGRES_DB}"' "$1"; }

# COUNT_ROWS gives "table count" for each table of the product.
# shellcheck disable=SC2034 # by those who source this
COUNT_ROWS=$'SELECT format(\'SELECT %L || \'\' \'\' || count(*) FROM %I.%I\', tablename, schemaname, tablename) FROM pg_tables WHERE schemaname = \'public\' ORDER BY tablename COLLATE "C" \\gexec'
