# One installer at a time: the lock is a directory that says who holds it and until when, by this host's own clock.
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL PATH
umask 077
exec 9>"$dir.flock" && flock -w 10 9 || {
    echo "cannot lock $dir.flock: another installer asks at this moment" >&2
    exit 1
}
now=$(date +%s)

field() { sed -n "s/^$1=//p" "$dir/owner" 2>/dev/null; }
held() { printf 'held\t%s\n' "$(base64 <"$dir/owner" | tr -d '\n')"; }
hold() {
    mkdir -p "$dir" && printf '%s\nexpires=%s\n' "$owner" "$((now + seconds))" >"$dir/owner.new" && mv -f "$dir/owner.new" "$dir/owner" && echo taken
}

# Ours, nobody's, run out, or its holder is known to be dead.
acquire() {
    held_by=$(field token)
    if [ -z "$held_by" ] || [ "$held_by" = "$token" ] || [ "$held_by" = "$dead" ] || [ "$(field expires)" -le "$now" ]; then hold; else held; fi
}
renew() {
    if [ "$(field token)" = "$token" ]; then hold; else held; fi
}
release() {
    if [ "$(field token)" = "$token" ]; then rm -rf "$dir"; fi
    echo released
}
