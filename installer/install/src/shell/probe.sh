# Looks at a host and changes nothing. One line per finding: a word, a tab, and what was found.
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
exec </dev/null
tab=$(printf '\t')
sums=

say() { printf '%s\t%s\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }
first() { IFS= read -r line <"$1" && printf '%s' "$line"; } 2>/dev/null

system() {
    say clock "$(date +%s.%N)"
    say uid "$(id -u)"
    say uname "$(uname -m) $(uname -r)"
    say hostname "$(uname -n)"
    say machine_id "$(first /etc/machine-id)"
    say boot_id "$(first /proc/sys/kernel/random/boot_id)"
    if [ -r /etc/os-release ]; then
        (. /etc/os-release && say os "${PRETTY_NAME:-$ID}")
    fi
    say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1 | head -n 1)"
    say cpus "$(nproc 2>/dev/null || grep -c ^processor /proc/cpuinfo)"
    say memory "$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)"
    [ -d /run/systemd/system ] && say systemd "$(systemctl --version | head -n 1)"
    say cgroup "$(stat -fc %T /sys/fs/cgroup 2>/dev/null)"
    if [ -r /sys/fs/cgroup/cgroup.controllers ]; then
        say controllers "$(first /sys/fs/cgroup/cgroup.controllers)"
    else
        say controllers "$(echo /sys/fs/cgroup/*)"
    fi
    have getenforce && say selinux "$(getenforce)"
    say listening "$(awk '$4 == "0A" { print $2 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null | tr '\n' ' ')"
    for tool in awk base64 cat chmod chown cp df flock gzip id ln mkdir mv readlink rm sed sha256sum stat sync systemctl tar; do
        have "$tool" || say lacks "$tool"
    done
    # Of BusyBox, some have a flock that cannot wait.
    ! have flock || (exec 9</ && flock -s -w 1 9) 2>/dev/null || say lacks "flock -w"
}

# The file system that a path is on, or will be on.
disk() {
    at=$1
    while [ ! -d "$at" ]; do
        at=${at%/*}
        [ -n "$at" ] || at=/
    done
    found=$(df -Pk "$at" | tail -n 1 | awk '{ print $4 "\t" $6 }')
    options=$(awk -v at="${found#*"$tab"}" '$2 == at { found = $4 } END { print found }' /proc/mounts)
    say disk "$1$tab$found$tab$options"
}

paths() {
    stat -c "path$tab%a$tab%U$tab%G$tab%s$tab%F$tab%n" -- "$@" 2>/dev/null
}

digests() {
    sums=$(sha256sum -- "$@" 2>/dev/null)
    [ -z "$sums" ] || printf '%s\n' "$sums" | while read -r sum path; do say sum "$sum$tab$path"; done
}

# Of a file with another digest than this one, so that the difference can be shown.
content() {
    case $sums in
    *"$2  $1"*) ;;
    *) [ ! -f "$1" ] || [ "$(stat -c %s "$1")" -gt 65536 ] || say content "$1$tab$(base64 <"$1" | tr -d '\n')" ;;
    esac
}

# What may be seen of a file with a certificate and its key.
certificate() {
    [ ! -f "$1" ] || say certificate "$1$tab$(sed -n '/BEGIN CERTIFICATE/,/END CERTIFICATE/p' "$1" | base64 | tr -d '\n')"
}

target() { [ ! -L "$1" ] || say target "$(readlink "$1")$tab$1"; }
user() { id -u "$1" >/dev/null 2>&1 && say user "$1"; }
guard() { if (eval "$2") >/dev/null 2>&1; then say guard "$1"; fi; }

units() {
    have systemctl || return 0
    id= load= active= file= reload= pid=0
    # Properties come in an order of systemd's own; units are apart by an empty line, and none stands after the last.
    { systemctl show -p Id -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload -p MainPID -- "$@" && echo; } |
        while IFS= read -r line; do
            case $line in
            Id=*) id=${line#*=} ;;
            LoadState=*) load=${line#*=} ;;
            ActiveState=*) active=${line#*=} ;;
            UnitFileState=*) file=${line#*=} ;;
            NeedDaemonReload=*) reload=${line#*=} ;;
            MainPID=*) pid=${line#*=} ;;
            esac
            if [ -z "$line" ] && [ -n "$id" ]; then
                inputs=
                [ "$pid" = 0 ] || inputs=$(tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | sed -n 's/^CLUSTERCTL_INPUTS=//p')
                say unit "$id$tab$load$tab$active$tab$file$tab$reload$tab$inputs"
                id= load= active= file= reload= pid=0
            fi
        done
}

manifest() {
    [ -f "$1" ] || return 0
    while IFS= read -r line; do say manifest "$line"; done <"$1"
}

# Whether an address can be reached: a refusal comes from the other host too, silence from a wall between them.
reach() {
    have bash && have timeout || { say reach "$1$tab$2${tab}unknown"; return; }
    found=$(timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1)
    case $?:$found in
    0:*) say reach "$1$tab$2${tab}open" ;;
    *refused*) say reach "$1$tab$2${tab}refused" ;;
    *) say reach "$1$tab$2${tab}none" ;;
    esac
}
