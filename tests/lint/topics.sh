#!/bin/sh
# Reserved topics: daemon/bus/topics.h spells each once, schema/topics.md explains each (a heading of the third level), and
# who cannot include topics.h (command line, plugin host) spells none that is not in it.
#   tests/lint/topics.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A level that varies is *: +, #, %s, or a name in capitals.
levels() {
    awk -F/ '{
        for (i = 1; i <= NF; i++)
            if ($i == "+" || $i == "#" || $i == "%s" || $i ~ /^[A-Z]+$/) $i = "*"
        line = $1
        for (i = 2; i <= NF; i++) line = line "/" $i
        print line
    }' | sort -u
}

sed -n 's/^#define TOPIC_[A-Z_]* *"\([^"]*\)".*/\1/p' daemon/bus/topics.h | levels >"$work/header"
sed -n 's/^### `\([^`]*\)`$/\1/p' schema/topics.md | levels >"$work/text"
bad=0
[ -s "$work/header" ] || { echo "daemon/bus/topics.h: no topic found"; bad=1; }
comm -23 "$work/header" "$work/text" | sed 's|.*|schema/topics.md: does not explain & of daemon/bus/topics.h|' >"$work/faults"
comm -13 "$work/header" "$work/text" | sed 's|.*|schema/topics.md: explains & that daemon/bus/topics.h does not have|' >>"$work/faults"

# A literal may be wider than what it stands for: "$aws/things/%s/shadow/%s".  And a level that varies may be spelled out: "$gatehouse/ctl/thing/create".
grep -rhoE '"(\$aws|\$gatehouse|gh)/[^" ]*' daemon/cli plugins/host --include='*.[ch]' | sed 's/^"//' | levels >"$work/literals"
awk -F/ 'NR == FNR { known[FNR] = $0; n = FNR; next }
    {
        found = 0
        for (k = 1; k <= n && !found; k++) {
            count = split(known[k], level, "/")
            found = count == NF
            for (i = 1; i <= NF && found; i++) found = level[i] == $i || $i == "*" || level[i] == "*"
        }
        if (!found) print "daemon/cli or plugins/host: " $0 " is not in daemon/bus/topics.h"
    }' "$work/header" "$work/literals" >>"$work/faults"

if [ -s "$work/faults" ]; then
    cat "$work/faults"
    bad=1
fi
[ $bad = 0 ] && echo "topics: fine"
exit $bad
