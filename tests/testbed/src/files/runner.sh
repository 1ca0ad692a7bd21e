#!/bin/sh
# Keeps one host running: enters its control groups, mounts its file system where only this tree of
# processes sees it, and starts it again when it reboots. Started in a mount namespace of its own, so
# that nothing stays mounted when it is gone.
#
# Usage: runner.sh HOSTDIR ROOTFS|- GROUPDIR… -- COMMAND…
#   Below each GROUPDIR stand `runner`, for this script, and `node`, for the host.
set -u
host=$1 rootfs=$2
shift 2
groups=
while [ "$1" != -- ]; do
    groups="$groups $1"
    shift
done
shift

finish() {
    echo "$1" >"$host/exit.new" && mv "$host/exit.new" "$host/exit"
    exit "$1"
}

for group in $groups; do
    echo $$ >"$group/runner/cgroup.procs" || finish 90
done
if [ "$rootfs" != - ]; then
    # systemd-nspawn keeps locks and mount points there that it leaves behind when it is killed.
    mount -t tmpfs -o mode=0755 tmpfs /run/systemd/nspawn || finish 91
    mount -t overlay overlay -o "lowerdir=$rootfs,upperdir=$host/upper,workdir=$host/work" "$host/root" ||
        finish 92
fi
while :; do
    # A group that handed its controllers on to others takes no process any more (v2): each boot has a new one.
    for group in $groups; do
        find "$group/node" -depth -type d -exec rmdir {} \; 2>/dev/null
        mkdir -p "$group/node" || finish 93
    done
    (
        for group in $groups; do
            echo 0 >"$group/node/cgroup.procs" || exit 90
        done
        exec "$@"
    )
    status=$?
    # systemd-nspawn's way to say that the system inside wants to reboot.
    [ "$status" -eq 133 ] || finish "$status"
done
