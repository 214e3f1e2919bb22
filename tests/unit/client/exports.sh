#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The functions that headers mark LEAT_API and those that a library exports are the same.
set -eu
library=$1
shift
declared=$(cat "$@" | tr '\n' ' ' | grep -o 'LEAT_API [^;]*(' |
    grep -o 'leat_[a-z_]*(' | tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$library" | awk '$3 !~ /^LEAT_/ { sub(/@.*/, "", $3); print $3 }' |
    sort -u)
if [ "$declared" != "$exported" ]; then
    printf 'declared:\n%s\nexported:\n%s\n' "$declared" "$exported"
    exit 1
fi
