#!/bin/sh
# The top level is fixed, files fit in a head, shell scripts pass shellcheck.
#   tests/lint/files.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"
bad=0
for entry in *; do
    case $entry in
    daemon | plugins | schema | deploy | stm32-nodes | tests | CMakeLists.txt | CMakePresets.json | README.md | LICENSE | build*) ;;
    *) echo "$entry: not in the fixed top level"; bad=1 ;;
    esac
done
for file in $(find daemon plugins stm32-nodes tests \( -name '*.c' -o -name '*.h' -o -name '*.py' \)); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 600 ] || { echo "$file: $lines lines, two nouns in one file?"; bad=1; }
done
if command -v shellcheck >/dev/null; then
    shellcheck -S warning tests/run deploy/packages .ci/run $(ls deploy/quickstart 2>/dev/null) || bad=1
fi
[ $bad = 0 ] && echo "files: fine"
exit $bad
