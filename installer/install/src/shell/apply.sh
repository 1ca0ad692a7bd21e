# Puts in place what a host is to have, step by step, and stops at the first that fails. What is cut off at any point can be run again.
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
umask 077
tab=$(printf '\t')

say() { printf '%s\t%s\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }
# The last lines of what was said, with what it was about.
failed() {
    say failed "$1$tab$2$tab$(printf '%s' "$3" | tail -n 20 | base64 | tr -d '\n')"
    exit 1
}

step() {
    number=$1
    shift
    say start "$number"
    said=$("$@" 2>&1 </dev/null) || failed "$number" $? "$said"
    say done "$number"
}

# One at a time. What an installer left behind whose machine went away waits for its files for ever: it is ended.
alone() {
    { [ -d "${lock%/*}" ] || mkdir -p "${lock%/*}"; } && exec 9>>"$lock" || failed receive 1 "cannot make $lock"
    flock -w 20 9 || end_other && flock -w 40 9 ||
        failed receive 1 "another installer is at work on this host, and was for a minute; wait until it is done"
    echo "$$" >"$lock"
}
end_other() {
    old=$(cat "$lock")
    # The number may be another process's by now: it counts only if that one has the lock open.
    [ -n "$old" ] && [ "$lock" -ef "/proc/$old/fd/9" ] || return 0
    kill -TERM -- "-$(awk '{ print $5 }' "/proc/$old/stat")" 2>/dev/null || kill -TERM "$old" 2>/dev/null || true
}

# Takes the files in that follow on standard input: their digests stand in the file named .sums among them. All of them are on the
# disk after it, with one call.
receive() {
    [ ! -e "$staging" ] || rm -rf "$staging"
    mkdir -p "$staging" || failed receive 1 "cannot make $staging"
    trap 'rm -rf "$staging"' EXIT
    trap 'exit 1' HUP INT PIPE TERM
    said=$(unpack "$1" 2>&1 && cd "$staging" && sha256sum -c .sums 2>&1 >/dev/null) ||
        failed receive 1 "what was sent did not arrive whole: $said"
    settle "$staging"/[0-9]*
}
unpack() {
    case $1 in
    gzip) gzip -dc | tar -xof - -C "$staging" ;;
    plain) tar -xof - -C "$staging" ;;
    esac
}

# Says what is about to be put there, before it is.
note() {
    new=${manifest%/*}/.manifest.clusterctl-new
    mkdir -p "${manifest%/*}" && {
        { [ ! -e "$manifest" ] || cat "$manifest"; } >"$new" && cat "$staging/.note" >>"$new" && settle "$new" && mv -f "$new" "$manifest"
    } || {
        rm -f "$new"
        return 1
    }
}

# On the disk, not only on its way there. With several at once the disk's queue is waited for once.
settle() { [ ! -e "$1" ] || sync "$@" 2>/dev/null || sync; }

make_user() {
    if have useradd; then
        shell=$(command -v nologin || echo /bin/false)
        useradd --system --user-group --no-create-home --home-dir /nonexistent --shell "$shell" "$1"
    else
        addgroup -S "$1" && adduser -S -D -H -h /nonexistent -s /bin/false -G "$1" "$1"
    fi
}

set_access() { chown "$3:$4" "$1" && chmod "$2" "$1"; }
make_dir() { { [ -d "$1" ] || mkdir "$1"; } && set_access "$@"; }

# With SELinux, a file has the label of where it was made.
label() { ! have restorecon || restorecon -F "$1" || true; }

# Renamed where it is on the same file system, by a second name that is ready before the first one goes. Elsewhere it is a copy, which
# is not on the disk yet.
put() {
    new=${2%/*}/.${2##*/}.clusterctl-new
    copied=
    {
        { ln -f "$staging/$1" "$new" 2>/dev/null || { cp "$staging/$1" "$new" && copied=yes; }; } &&
            set_access "$new" "$3" "$4" "$5" && { [ -z "$copied" ] || settle "$new"; } && label "$new" && mv -f "$new" "$2"
    } || {
        # A disk that is full leaves half a file behind.
        rm -f "$new"
        return 1
    }
}

make_link() {
    new=$2.clusterctl-new
    rm -f "$new" && ln -s "$1" "$new" && { mv -fT "$new" "$2" 2>/dev/null || { rm -f "$new" && ln -sfn "$1" "$2"; }; }
}

run() { sh -c "$1"; }
reload() { systemctl daemon-reload; }
enable() { systemctl enable --quiet "$1"; }

# What the unit's own log says is what helps.
told() {
    [ -n "$2" ] || ! systemctl is-active --quiet "$1" || return 0
    echo "$1 is $(systemctl is-active "$1")"
    journalctl --unit "$1" --lines 15 --no-pager --output cat 2>/dev/null
    return 1
}
# Waits so many seconds at most: what is not there by then goes on starting.
begin() {
    systemctl "$1" "$2" &
    asked=$!
    tries=0
    while kill -0 "$asked" 2>/dev/null; do
        [ "$tries" -lt $((10 * $3)) ] || { kill "$asked"; break; }
        tries=$((tries + 1))
        sleep 0.1
    done
    wait "$asked"
}
# Enabled first, since a host that goes down now is to come up with it.
start_unit() {
    "$1" "$3" || return 1
    began=
    systemctl reset-failed "$3" 2>/dev/null
    if [ -n "$4" ]; then begin "$2" "$3" "$4"; else systemctl "$2" "$3"; fi || began=no
    told "$3" "$began"
}
