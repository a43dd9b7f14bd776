#!/bin/sh
# Installs the browser and the counterpart programs that the tests talk to, where root and apt-get are at hand.
# Elsewhere it only says so; the tests that need one are then skipped, each by name.
set -eu
missing=""
for pair in chromium:chromium prometheus:prometheus promtool:prometheus \
    prometheus-node-exporter:prometheus-node-exporter victoria-metrics:victoria-metrics \
    prometheus-blackbox-exporter:prometheus-blackbox-exporter systemctl:systemd dbus-daemon:dbus; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "Not installed (needs root and apt-get), tests that use them are skipped:$missing" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# A refusal to start services inside a build or a container is expected; we start the programs ourselves.
log=$(mktemp)
for try in 1 2 3; do
  # shellcheck disable=SC2086
  if apt-get update -qq >"$log" 2>&1 && apt-get install -y -qq --no-install-recommends $missing >>"$log" 2>&1; then
    rm -f "$log"
    exit 0
  fi
  echo "Installing$missing failed (try $try of 3)" >&2
done
tail -n 20 "$log" >&2
echo "Tests that use them are skipped:$missing" >&2
