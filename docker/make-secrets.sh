#!/bin/sh
# Makes the random passwords that docker-compose.yml reads, in docker/secrets; those that exist are left alone.
set -eu

cd "$(dirname "$0")"
# Containers run under other users than this one, and Compose mounts the files as they are: the files may be read, but the
# directory lets nobody else in.
umask 077
mkdir -p secrets
chmod 700 secrets
for name in redis_password grafana_password; do
    if [ -s "secrets/$name" ]; then
        echo "docker/secrets/$name is there already."
        continue
    fi
    draft=$(mktemp "secrets/.$name.XXXXXX")
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$draft"
    chmod 444 "$draft"
    mv -f "$draft" "secrets/$name"
    echo "Made docker/secrets/$name."
done
