# Runs a Postgres server for as long as somebody uses it.
# $1 the cluster's directory, $2 "keep" or "remove" it afterwards, then the server's command
#
# Every process that uses the server holds the pipe "users" open for writing. When the last of them
# has ended, however it ended, reading gives end of file. Signals of a terminal are meant for the
# programs that use the server, which stop first.
trap '' INT TERM HUP
base=$1
after=$2
shift 2

start() {
    "$@" >>"$base/log" 2>&1 </dev/null &
    server=$!
}

start "$@"
while read -r line; do
    case $line in
        start) wait "$server"; start "$@" ;;
        *) : >"$base/seen/$line" ;;
    esac
done <"$base/users"

# Newcomers may start a server in this directory as soon as ours is gone, so nothing of theirs may
# be what is removed here: first the names, then the server.
if [ "$after" = remove ]; then
    gone="$base.gone.$$"
    mv "$base" "$gone" 2>/dev/null || gone=$base
    kill -QUIT "$server" 2>/dev/null
    wait "$server"
    rm -rf "$gone"
else
    rm -rf "$base/users" "$base/seen"
    kill -INT "$server" 2>/dev/null
    wait "$server"
fi
