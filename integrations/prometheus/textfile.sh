#!/bin/sh
# Writes the metrics of one agent for the textfile collector of node_exporter. Start it every minute, for example by cron:
# * * * * * /path/to/textfile.sh /path/to/heartbeat.toml /var/lib/prometheus/node-exporter
set -eu
settings=$1
folder=$2
# One file for each settings file. The collector reads *.prom only, so it never sees a half-written one.
name=atelier-heartbeat-$(printf %s "$settings" | cksum | cut -d ' ' -f 1)
trap 'rm -f "$folder/$name.new"' EXIT
atelier-heartbeat --config "$settings" status --prometheus >"$folder/$name.new"
chmod 644 "$folder/$name.new"
mv "$folder/$name.new" "$folder/$name.prom"
