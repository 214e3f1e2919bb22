#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The functions that a header marks LEAT_API and those that a library exports are the same.
set -eu
header=$1
library=$2
declared=$(tr '\n' ' ' < "$header" | grep -o 'LEAT_API [^;]*(' |
    grep -o 'leat_[a-z_]*(' | tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$library" | awk '$3 !~ /^LEAT_/ { sub(/@.*/, "", $3); print $3 }' |
    sort -u)
if [ "$declared" != "$exported" ]; then
    printf 'declared:\n%s\nexported:\n%s\n' "$declared" "$exported"
    exit 1
fi
