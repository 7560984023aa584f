#!/bin/sh
# Healthy: the data are loaded, the password is right and the append-only file can be written; PING says PONG only then.
[ "$(REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --user phasegate ping)" = PONG ]
