#!/bin/sh
# After the files were removed: dpkg's postrm, rpm's %postun. dpkg alone calls it with "purge".
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
[ "$1" = purge ] || exit 0

rm -rf /var/lib/ctisync /var/cache/ctisync || true
rmdir /etc/ctisync 2>/dev/null || true
left=$(ls -d /etc/ctisync/* /etc/systemd/system/ctisync* /etc/cron.d/ctisync /var/lib/ctisync /var/lib/ctisync-* \
    /var/cache/ctisync-* 2>/dev/null || true)
if [ -z "$left" ]; then
    ! getent passwd ctisync >/dev/null || userdel ctisync
    ! getent group ctisync >/dev/null || groupdel ctisync
else
    echo "ctisync is purged, except for what this package did not make, and the user ctisync:"
    echo "$left" | sed 's/^/  /'
fi
echo "A content in OpenSearch stays there."
