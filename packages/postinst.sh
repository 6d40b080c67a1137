#!/bin/sh
# When the files are there: dpkg's postinst, rpm's %posttrans. dpkg also runs it as "triggered" if the host gets
# another Python.
set -e
umask 022

# The user of the passes. Members of its group can read the content.
getent group ctisync >/dev/null || groupadd --system ctisync
getent passwd ctisync >/dev/null ||
    useradd --system --gid ctisync --home-dir /var/lib/ctisync --no-create-home --shell /usr/sbin/nologin ctisync
[ -e /var/lib/ctisync ] || install -d -m 2750 -o ctisync -g ctisync /var/lib/ctisync

# Bytecode of each Python that the host has: a pass cannot write here, and would compile at each start.
find /usr/lib/ctisync -name __pycache__ -prune -exec rm -rf {} +
for python in /usr/bin/python3.11 /usr/bin/python3.12 /usr/bin/python3.13 /usr/bin/python3.14; do
    [ ! -x "$python" ] || "$python" -I -m compileall -q /usr/lib/ctisync >/dev/null || true
done

if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi

# Nothing is started. Where no schedule is set, say how.
for schedule in /etc/systemd/system/timers.target.wants/ctisync*.timer /etc/cron.d/ctisync; do
    [ ! -e "$schedule" ] || exit 0
done
[ "$1" = triggered ] || cat <<'END'
ctisync is installed, and starts no pass by itself. To run one now, and one every hour:
  sudo systemctl start ctisync.service
  sudo systemctl enable --now ctisync.timer
END
