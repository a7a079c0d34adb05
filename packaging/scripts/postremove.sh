#!/bin/sh
# Accepted events stay in /var/lib/auditrelay, also after a purge: deleting them is for people.
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
case "$1" in
purge | 0)
  if [ -d /var/lib/auditrelay/data ]; then
    echo "auditrelay: accepted events stay in /var/lib/auditrelay; delete it if nobody needs them"
  fi
  ;;
esac
