#!/bin/sh
# Before the files are replaced: dpkg's preinst, rpm's %pre.
# A running pass would load modules of two versions. TERM ends it within 5 seconds, and the next pass continues.
set -e
if [ -d /run/systemd/system ]; then
    systemctl stop ctisync.service 'ctisync@*.service' || true
fi
