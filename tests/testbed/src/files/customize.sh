#!/bin/sh
# Makes a bootstrapped Debian ($1) into the root file system of test hosts. Runs once per cached system.
set -eu
umask 022
root=$1

# admin needs a password for sudo, deploy does not. Fixed numbers, so that files can be given to them.
chroot "$root" useradd --uid 1000 --create-home --shell /bin/bash --groups sudo admin
chroot "$root" useradd --uid 1001 --create-home --shell /bin/bash deploy
echo 'admin:admin' | chroot "$root" chpasswd
echo 'deploy ALL=(ALL:ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/deploy"
chmod 0440 "$root/etc/sudoers.d/deploy"

# Keys of the testbed stand outside the homes, so that a test may fill those as it likes.
cat >"$root/etc/ssh/sshd_config.d/testbed.conf" <<'EOF'
PermitRootLogin prohibit-password
PasswordAuthentication yes
AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/testbed_keys
EOF

# The container manager mounts v1 controllers read-only; systemd hands out limits only where it can write.
cat >"$root/usr/local/sbin/testbed-cgroups" <<'EOF'
#!/bin/sh
set -eu
changed=
for controller in cpu cpuacct cpu,cpuacct memory pids; do
    dir=/sys/fs/cgroup/$controller
    if [ -e "$dir/cgroup.procs" ] && [ ! -L "$dir" ]; then
        mount -o remount,bind,rw "$dir"
        changed=yes
    fi
done
[ -z "$changed" ] || systemctl daemon-reexec
EOF
chmod 0755 "$root/usr/local/sbin/testbed-cgroups"
cat >"$root/etc/systemd/system/testbed-cgroups.service" <<'EOF'
[Unit]
Description=Make the control groups of this container writable
DefaultDependencies=no
Before=sysinit.target
ConditionVirtualization=container

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/testbed-cgroups

[Install]
WantedBy=sysinit.target
EOF

# Only what a host needs: each unit costs boot time, and there are many hosts on two cores.
systemctl --root="$root" --quiet enable systemd-networkd.service ssh.service testbed-cgroups.service
systemctl --root="$root" --quiet disable systemd-networkd-wait-online.service systemd-timesyncd.service 2>/dev/null || true
systemctl --root="$root" --quiet mask systemd-firstboot.service getty.target console-getty.service \
    apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    dpkg-db-backup.timer systemd-tmpfiles-clean.timer systemd-resolved.service

# A guest's root is its first disk; containers have no such entry to wait for.
: >"$root/etc/fstab"

# Each host gets its own of these.
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/hostname"
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
# Proxies of the machine that built this are none of the hosts' business.
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap" "$root/etc/resolv.conf"
: >"$root/etc/resolv.conf"
