#!/bin/sh
# deb: configure OLD; rpm: 1 at the first installation, 2 and more at an upgrade.
set -e
if ! getent passwd auditrelay >/dev/null; then
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers auditrelay.conf
  else
    useradd --system --user-group --no-create-home --home-dir /var/lib/auditrelay --shell /usr/sbin/nologin auditrelay
  fi
fi
chgrp auditrelay /etc/auditrelay /etc/auditrelay/auditrelay.yaml
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  # An upgrade restarts what runs. A new installation starts nothing: it has no destination.
  systemctl try-restart auditrelay.service
fi
