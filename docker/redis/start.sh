#!/bin/sh
# Starts Redis with one user, phasegate, whose password is in a secret. Only its SHA-256 reaches Redis, over standard
# input: it is in no argument, no environment variable and no file of the container.
set -eu

secret=${1:-/run/secrets/redis_password}
password=$(cat "$secret") || password=
if [ "${#password}" -lt 16 ]; then
    echo "The secret $secret is missing, cannot be read or is shorter than 16 characters. Run \`make secrets\`." >&2
    exit 1
fi
digest=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
unset password

# phasegate: queue and announcements, and nothing that administers the server. RQ asks INFO for the server's version.
# default: nobody can log in as it, but Redis loads the append-only file in its name, and would drop every transaction
# from the file that default has no right to.
exec redis-server - <<CONFIG
include /usr/local/etc/redis/redis.conf
user default off resetpass ~* &* +@all
user phasegate on #$digest ~rq:* ~phasegate:* &rq:* &phasegate:* +@all -@admin -@dangerous +info
CONFIG
