#!/bin/sh
# deb: remove, or upgrade NEW; rpm: 0 at a removal, 1 and more at an upgrade.
set -e
case "$1" in
remove | 0)
  if [ -d /run/systemd/system ]; then
    systemctl disable --now auditrelay.service
  fi
  ;;
esac
