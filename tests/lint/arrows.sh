#!/bin/sh
# Rooms and arrows: which room of daemon/ may include which. An arrow that is not in this list is a fault.
#   tests/lint/arrows.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}/daemon"

# room: the rooms it may include, besides itself
allowed() {
    case $1 in
    base | wire) echo "" ;;
    schedule) echo "base" ;;
    keys) echo "base" ;;
    net) echo "base keys wire" ;; # wire: the frames of serial lines
    store) echo "base" ;;
    identity) echo "base keys store" ;;
    bus) echo "base store" ;;
    cloud) echo "base keys" ;;
    config) echo "base schedule keys net wire cloud services/authorizer services/credentials services/streams services/shadowsync services/uplink" ;; # their syntax checks
    mqtt) echo "base wire net bus identity store" ;;
    http) echo "base wire net bus identity" ;;
    services/streams | services/uplink) echo "base schedule bus store cloud identity" ;;
    services/network) echo "base net bus" ;;
    services/*) echo "base bus store cloud identity" ;;
    cli) echo "base schedule wire identity config" ;; # config: its reader of files; identity: policies are judged without a daemon
    lazy) echo "base net cloud identity main" ;; # passes calls on to what is loaded later
    *) echo "?" ;;
    esac
}

# A path like services/shadow/shadow_doc.c is in the room services/shadow, bus/bus.c in bus, main.c in none: house.h and its
# files wire all the others.
list=$(mktemp)
trap 'rm -f "$list"' EXIT
find . -name '*.[ch]' | sed 's|^\./||' | sort >"$list"
rooms=$(sed -n -e 's|^\(services/[^/]*\)/.*|\1|p;t' -e 's|^\([^/]*\)/.*|\1|p' "$list" | sort -u)
table=$(for room in $rooms; do echo "$room: $(allowed "$room")"; done)
xargs grep -H '^#include "' <"$list" | awk -v table="$(echo "$table" | tr '\n' ';')" -v list="$list" '
    function room_of(path, part, n) {
        n = split(path, part, "/")
        if (n == 1)
            return "main"
        return part[1] == "services" ? part[1] "/" part[2] : part[1]
    }
    function fault(text) {
        print text
        bad = 1
    }
    BEGIN {
        n = split(table, lines, ";")
        for (i = 1; i <= n; i++) {
            split(lines[i], pair, ": ")
            may[pair[1]] = " " pair[2] " " pair[1] " "
        }
        while ((getline path < list) == 1) {
            there[path] = 1
            room = room_of(path)
            if (room != "main" && may[room] ~ /\?/)
                fault(path ": the room " room " is not in the list of tests/lint/arrows.sh")
        }
    }
    {
        file = substr($0, 1, index($0, ":") - 1)
        split($0, quoted, "\"")
        header = quoted[2]
        room = room_of(file)
        target = room_of(header)
        if (room == "main" || may[room] ~ /\?/)
            next
        if (!(header in there) && target != "main") {
            if (header ~ /^gatehouse_/)
                next
            fault(file ": includes \"" header "\": no such file below daemon/")
        }
        if (!index(may[room], " " target " "))
            fault(file ": " room " must not include " target " (" header ")")
    }
    END {
        if (!bad)
            print "arrows: fine"
        exit bad
    }'
