#!/bin/sh
# Makes the random passwords that docker-compose.yml reads, and the key with which Prometheus reads the metrics, in
# docker/secrets; those that exist are left alone.
set -eu

cd "$(dirname "$0")"
# Containers run under other users than this one, and Compose mounts the files as they are: the files may be read, but the
# directory lets nobody else in.
umask 077
mkdir -p secrets
chmod 700 secrets

digits() { # $1 random bytes in hexadecimal
    od -An -v -N"$1" -tx1 /dev/urandom | tr -d ' \n'
}

for name in redis_password grafana_password metrics_key; do
    if [ -s "secrets/$name" ]; then
        echo "docker/secrets/$name is there already."
        continue
    fi
    draft=$(mktemp "secrets/.$name.XXXXXX")
    case $name in
        metrics_key) printf 'pg_%s_%s' "$(digits 6)" "$(digits 32)" > "$draft" ;;
        *) digits 32 > "$draft" ;;
    esac
    chmod 444 "$draft"
    mv -f "$draft" "secrets/$name"
    echo "Made docker/secrets/$name."
done
