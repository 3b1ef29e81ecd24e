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
    net) echo "base" ;;
    store) echo "base" ;;
    identity) echo "base store" ;;
    bus) echo "base store" ;;
    cloud) echo "base" ;;
    config) echo "base schedule net wire cloud services/streams services/shadowsync" ;; # their syntax checks
    mqtt) echo "base wire net bus identity store" ;;
    http) echo "base wire net bus identity" ;;
    services/streams | services/uplink) echo "base schedule bus store cloud identity" ;;
    services/*) echo "base bus store cloud identity" ;;
    cli) echo "base schedule wire identity" ;; # identity: policies are judged without a daemon
    lazy) echo "base net cloud main" ;; # passes calls on to what is loaded later
    *) echo "?" ;;
    esac
}

room_of() { # a path like services/shadow/shadow_doc.c or bus/bus.c
    case $1 in
    services/*/*) echo "$1" | cut -d/ -f1,2 ;;
    */*) echo "${1%%/*}" ;;
    *) echo main ;;
    esac
}

bad=0
for file in $(find . -name '*.[ch]' | sed 's|^\./||' | sort); do
    room=$(room_of "$file")
    [ "$room" = main ] && continue # house.h: they wire all the others
    may=" $(allowed "$room") $room "
    if [ "$may" = " ? $room " ]; then
        echo "$file: the room $room is not in the list of tests/lint/arrows.sh"
        bad=1
        continue
    fi
    for header in $(sed -n 's/^#include "\([^"]*\)".*/\1/p' "$file"); do
        target=$(room_of "$header")
        if [ ! -e "$header" ] && [ "$target" != main ]; then
            case $header in gatehouse_*) continue ;; esac
            echo "$file: includes \"$header\": no such file below daemon/"
            bad=1
        fi
        case $may in
        *" $target "*) ;;
        *) echo "$file: $room must not include $target ($header)"; bad=1 ;;
        esac
    done
done
[ $bad = 0 ] && echo "arrows: fine"
exit $bad
