# Takes away what an installer put there: each thing once it is known to be as it was put, and nothing else.
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
tab=$(printf '\t')

exec 3>&1
say() { printf '%s\t%s\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }

step() {
    number=$1
    shift
    say start "$number"
    said=$("$@" 2>&1 </dev/null) || {
        say failed "$number$tab$?$tab$(printf '%s' "$said" | tail -n 20 | base64 | tr -d '\n')"
        exit 1
    }
    say done "$number"
}

alone() {
    exec 9>>"$lock" && flock -w 60 9 && rm -rf "$staging" && return 0
    say failed "receive${tab}1$tab$(echo 'another installer is at work on this host' | base64 | tr -d '\n')"
    exit 1
}

# The processes in a unit's control group and in all below it, whichever hierarchy systemd keeps units in.
processes_of() {
    for root in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        [ ! -d "$root$1" ] || find "$root$1" -name cgroup.procs -exec cat {} +
    done 2>/dev/null | sort -u
}

# Units of ours leave their tasks alone when they stop, and a unit that stopped has no processes any more for systemd to kill.
stop_unit() {
    group=$(systemctl show --property=ControlGroup --value "$1" 2>/dev/null)
    [ -n "$group" ] && [ "$group" != / ] || group=/system.slice/$1
    systemctl disable --quiet "$1" 2>/dev/null
    systemctl stop "$1" 2>/dev/null
    tries=0
    while left=$(processes_of "$group") && [ -n "$left" ]; do
        [ "$tries" -lt 50 ] || { echo "$1 does not end: process" $left; return 1; }
        [ "$tries" -eq 0 ] || sleep 0.1
        tries=$((tries + 1))
        # One that is gone meanwhile is no error.
        kill -KILL $left 2>/dev/null
    done
    systemctl reset-failed "$1" 2>/dev/null
    ! systemctl is-active --quiet "$1"
}

# Looked at once more: it may have changed since.
remove_file() {
    path=$1
    shift
    [ -e "$path" ] || return 0
    found=$(sha256sum <"$path") || return 1
    for sum; do
        [ "${found%% *}" != "$sum" ] || { rm -f "$path"; return; }
    done
    echo "$path was changed meanwhile"
    return 1
}

remove_link() { [ ! -L "$1" ] || rm -f "$1"; }
remove_dir() {
    [ -d "$1" ] || return 0
    # What an installer was about to put there when it was cut off.
    rm -f "$1"/.*.clusterctl-new "$1"/*.clusterctl-new
    rmdir "$1" 2>/dev/null || say stays "$1" >&3
}
remove_data() { rm -rf "$1"; }
remove_user() {
    id -u "$1" >/dev/null 2>&1 || return 0
    if have userdel; then userdel "$1"; else deluser "$1"; fi
    if have groupdel && getent group "$1" >/dev/null; then groupdel "$1"; fi
    return 0
}
reload() { systemctl daemon-reload; }

# What stayed still stands in the list, so that the next reset names it again.
keep_list() { printf '%s' "$2" >"$1.new" && mv -f "$1.new" "$1"; }
