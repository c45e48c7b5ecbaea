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

if [ "$after" = remove ]; then
    kill -QUIT "$server" 2>/dev/null
    wait "$server"
    rm -rf "$base"
else
    kill -INT "$server" 2>/dev/null
    wait "$server"
    rm -rf "$base/users" "$base/seen"
fi
