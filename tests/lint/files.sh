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
long=$(find daemon plugins stm32-nodes tests \( -name '*.c' -o -name '*.h' -o -name '*.py' \) -exec awk '
    FNR == 601 { print FILENAME ": more than 600 lines, two nouns in one file?" }' {} +)
[ -z "$long" ] || { echo "$long"; bad=1; }
if command -v shellcheck >/dev/null; then
    shellcheck -S warning tests/run deploy/packages .ci/run $(ls deploy/quickstart 2>/dev/null) || bad=1
fi
[ $bad = 0 ] && echo "files: fine"
exit $bad
