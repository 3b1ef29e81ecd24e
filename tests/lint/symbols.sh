#!/bin/sh
# What the programs and plugins export: a plugin its one symbol, the daemon and the tools nothing of their own.
#   tests/lint/symbols.sh BUILD
set -eu
build=${1:?build folder}
bad=0
for plugin in $(find "$build/plugins" -name '*.so' | sort); do
    exported=$(nm -D --defined-only "$plugin" | awk '$2 ~ /[TDBR]/ {print $3}' | grep -vE '^(_init|_fini|__(asan|ubsan|odr_asan|start|stop)_?.*)$' || true)
    if [ "$exported" != gh_plugin ]; then
        echo "$plugin exports $(echo $exported), expected gh_plugin alone"
        bad=1
    fi
done
for program in $(find "$build" -type f \( -name gatehoused -o -name gatehouse -o -name gatehouse-host \) -perm -u+x | sort); do
    exported=$(nm -D --defined-only "$program" 2>/dev/null | awk '$2 == "T" {print $3}' | grep -vE '^(_init|_fini|_start|main|__.*)$' || true)
    if [ -n "$exported" ]; then
        echo "$program exports $(echo $exported | cut -c1-200)"
        bad=1
    fi
done
[ $bad = 0 ] && echo "symbols: fine"
exit $bad
