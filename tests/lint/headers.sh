#!/bin/sh
# Every header compiles alone; the portable ones as ISO C17 without a warning.
#   tests/lint/headers.sh [ROOT] [CC]
set -eu
cd "${1:-$(dirname "$0")/../..}"
cc=${2:-cc}
warn="-Wall -Wextra -Werror -Wno-unused-function"
bad=0
check() { # header, flags
    header=$1
    shift
    printf '#include "%s"\ntypedef int not_empty;\n' "$(basename "$header")" |
        $cc "$@" $warn -I"$(dirname "$header")" -fsyntax-only -x c - || { echo "$header: does not compile alone"; bad=1; }
}
for header in $(find daemon -name '*.h' -not -path 'daemon/wire/*'); do
    check "$header" -std=gnu17 -D_GNU_SOURCE -Idaemon
done
for header in $(find daemon/wire -name '*.h'); do
    check "$header" -std=c17 -Wpedantic -Idaemon
done
for header in $(find plugins/include stm32-nodes -name '*.h' -not -path '*/ports/*' 2>/dev/null); do
    check "$header" -std=c17 -Wpedantic -Iplugins/include -Istm32-nodes/include -Idaemon
done
[ $bad = 0 ] && echo "headers: fine"
exit $bad
