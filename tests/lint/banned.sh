#!/bin/sh
# Functions the house does without, and descriptors born without CLOEXEC.
#   tests/lint/banned.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"
bad=0
find_in() { # what is wrong, pattern, folders
    what=$1 pattern=$2
    shift 2
    if grep -rnE --include='*.c' --include='*.h' "$pattern" "$@"; then
        echo "^ $what"
        bad=1
    fi
}
find_in "banned function" '(^|[^a-zA-Z0-9_])(sprintf|vsprintf|strcpy|strcat|strtok|atoi|atol|gets|alloca)[[:space:]]*\(' \
    daemon plugins stm32-nodes tests
find_in "descriptor without CLOEXEC (accept4, pipe2, SOCK_CLOEXEC, O_CLOEXEC, EPOLL_CLOEXEC)" \
    '(^|[^a-zA-Z0-9_])(accept|pipe|epoll_create|inotify_init|dup2?)[[:space:]]*\(' daemon plugins/host
for file in $(grep -rlE --include='*.c' '(^|[^a-zA-Z0-9_>.])(socket|socketpair|open|openat)[[:space:]]*\(' daemon plugins/host); do
    awk -v file="$file" '
        /(^|[^a-zA-Z0-9_>.])(socket|socketpair|open|openat)[ ]*\(/ && !/^[ ]*[*\/]/ && /(AF_|O_)/ {
            line = $0; at = NR
            while (line !~ /;/ && (getline more) > 0) line = line more
            if (line !~ /CLOEXEC/) { print file ":" at ": " line; bad = 1 }
        }
        END { exit bad }' "$file" || { echo "^ descriptor without CLOEXEC"; bad=1; }
done
find_in "mutex outside base/worker.c" 'pthread_(mutex|rwlock|cond|spin)_' $(find daemon -name '*.[ch]' -not -path daemon/base/worker.c)
[ $bad = 0 ] && echo "banned: fine"
exit $bad
