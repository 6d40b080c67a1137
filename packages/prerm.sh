#!/bin/sh
# Before the files are removed: dpkg's prerm, rpm's %preun. $1 is "remove" or 0, or else it is an upgrade.
set -e
if [ "$1" = remove ] || [ "$1" = 0 ]; then
    if command -v systemctl >/dev/null; then
        for timer in /etc/systemd/system/timers.target.wants/ctisync*.timer; do
            [ ! -L "$timer" ] || systemctl disable "${timer##*/}" || true
        done
    fi
    if [ -d /run/systemd/system ]; then
        systemctl stop 'ctisync*.timer' ctisync.service 'ctisync@*.service' || true
    fi
fi
[ ! -d /usr/lib/ctisync ] || find /usr/lib/ctisync -name __pycache__ -prune -exec rm -rf {} +
