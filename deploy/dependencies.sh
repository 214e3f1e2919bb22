#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# deploy/dependencies.sh build|test|bench...: installs the Debian packages of these purposes that are missing, as
# deploy/packages.txt lists them. Does nothing, and needs no network, when all are there.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

missing=""
for purpose in "$@"; do
    while read -r what package command; do
        [ "$what" = "$purpose" ] || continue
        if [ -n "$command" ] && command -v "$command" >/dev/null 2>&1; then
            continue
        fi
        installed "$package" || missing="$missing $package"
    done <"$here/packages.txt"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "This system has no apt-get. What is needed, by its Debian names:$missing" >&2
    exit 0
fi
echo "installing:$missing"
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "Please install these packages as root: apt-get install$missing" >&2
        exit 1
    fi
    as_root=sudo
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # both are lists of words
{
    $as_root apt-get update -q &&
        $as_root apt-get install -q -y --no-install-recommends $missing
} || {
    echo "The installation failed. What is missing:$missing" >&2
    exit 1
}
