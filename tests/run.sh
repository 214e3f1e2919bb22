#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# tests/run.sh [--quick] [--list] [NAME...]: builds everything and runs every test.
#
#   --quick  a few minutes' worth: without the sanitizers, the clang build and what is marked as long
#   --list   prints the names and ends
#   NAME...  only tests whose name contains one of these
#
# Tests are: `build`; `tidy`; each program that CMake registers (Criterion programs count case by case, what
# has the label "long" is left out by --quick); each tests/*/test_*.sh and tests/*/test_*.py; `sanitizers`
# (everything that is registered and not long, built with ASan and UBSan); `clang` (a build).
#
# A script test runs in the project's root with BUILD naming the build folder and SCRATCH a directory that is
# removed afterwards. Exit status 77 means skipped, and its last line says why. A line `# long` near its top
# makes it long, `# timeout: SECONDS` changes its limit of 600 s.
#
# One line for each test, with its time; what failed shows its output; the last line is `N passed, N failed`.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
export BUILD=$root/build
logs=$BUILD/test-logs
quick=no
list=no
names=()
passed=0
failed=0
skipped=0
failures=()

for argument in "$@"; do
    case $argument in
    --quick) quick=yes ;;
    --list) list=yes ;;
    -h | --help)
        sed -n '4,18s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    -*)
        echo "unknown option $argument; tests/run.sh --help explains" >&2
        exit 2
        ;;
    *) names+=("$argument") ;;
    esac
done

wanted() {
    [ ${#names[@]} -eq 0 ] && return 0
    local name
    for name in "${names[@]}"; do
        [[ $1 == *"$name"* ]] && return 0
    done
    return 1
}

now() {
    date +%s%N
}

# report RESULT NAME STARTED [REMARK]
report() {
    printf '%-7s %-34s %7.1f s%s\n' "$1" "$2" "$((($(now) - $3) / 100000000))e-1" "${4:+  $4}"
}

fail() { # NAME STARTED LOG [REMARK]
    failures+=("$1")
    report FAILED "$1" "$2" "${4:-}"
    grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking|Generating)' "$3" | tail -n 60 | sed 's/^/        | /'
}

skip() { # NAME STARTED REASON
    skipped=$((skipped + 1))
    report skipped "$1" "$2" "$3"
}

# step NAME COMMAND...: one test that is a command.
step() {
    local name=$1 started status=0
    shift
    started=$(now)
    "$@" >"$logs/$name.log" 2>&1 || status=$?
    if [ $status -eq 0 ]; then
        passed=$((passed + 1))
        report passed "$name" "$started"
    elif [ $status -eq 77 ]; then
        skip "$name" "$started" "$(tail -n 1 "$logs/$name.log")"
    else
        failed=$((failed + 1))
        local remark="status $status"
        [ $status -ne 124 ] || remark="over its time limit"
        fail "$name" "$started" "$logs/$name.log" "$remark"
    fi
    return $status
}

configure_and_build() { # FOLDER TARGETS OPTIONS...
    local folder=$1 targets=$2
    shift 2
    # shellcheck disable=SC2086 # targets is a list of words
    cmake -S . -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo "$@" &&
        ninja -C "$folder" $targets
}

# A Criterion program counts case by case; one that ends without its plan fulfilled counts as failed too.
criterion() {
    local name=$1 program=$2 started status=0 good bad planned
    started=$(now)
    rm -f "$logs/$name.tap"
    timeout 600 "$program" --tap="$logs/$name.tap" >"$logs/$name.log" 2>&1 || status=$?
    touch "$logs/$name.tap"
    good=$(grep -c '^ok ' "$logs/$name.tap")
    bad=$(grep -c '^not ok ' "$logs/$name.tap")
    planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$logs/$name.tap")
    if [ $status -ne 0 ] && [ "$bad" -eq 0 ] || [ "$((good + bad))" -ne "${planned:--1}" ]; then
        bad=$((bad + 1))
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        report passed "$name" "$started" "$good cases"
    else
        fail "$name" "$started" "$logs/$name.log" "$bad of $((good + bad)) cases, status $status"
    fi
}

# Another program that CMake registers, run by ctest for its working directory and limits.
registered() {
    local name=$1 started status=0
    started=$(now)
    ctest --test-dir "$BUILD" -R "^$name\$" --output-on-failure --timeout 600 >"$logs/$name.log" 2>&1 || status=$?
    if grep -q '\*\*\*Skipped' "$logs/$name.log"; then
        skip "$name" "$started" "the program says so"
    elif [ $status -eq 0 ]; then
        passed=$((passed + 1))
        report passed "$name" "$started"
    else
        failed=$((failed + 1))
        fail "$name" "$started" "$logs/$name.log"
    fi
}

script() { # NAME PATH
    local head limit status=0
    head=$(head -n 30 "$2")
    limit=$(sed -n 's/^# timeout: *\([0-9]*\)$/\1/p' <<<"$head")
    if [ $quick = yes ] && grep -q '^# long$' <<<"$head"; then
        skip "$1" "$(now)" "long, left out by --quick"
        return
    fi
    SCRATCH=$(mktemp -d)
    export SCRATCH
    case $2 in
    *.py) step "$1" timeout -k 10 "${limit:-600}" /usr/bin/python3 "$2" || status=$? ;;
    *) step "$1" timeout -k 10 "${limit:-600}" bash "$2" || status=$? ;;
    esac
    rm -rf "$SCRATCH"
}

registered_names() { # [ctest options]
    ctest --test-dir "$BUILD" -N "$@" 2>/dev/null | sed -n 's/^ *Test *#[0-9]*: //p'
}

sanitizers() {
    export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
    export LSAN_OPTIONS=suppressions=$root/tests/lsan.supp:print_suppressions=0
    configure_and_build build-asan all -DLEAT_SANITIZE=ON -DLEAT_SLOW_ASSERTS=ON &&
        ctest --test-dir build-asan -LE long -E '^config_reference$' --output-on-failure --timeout 900
}

clang_build() {
    configure_and_build build-clang all -DCMAKE_C_COMPILER=clang
}

optional() { # NAME FUNCTION
    wanted "$1" || return
    if [ $quick = yes ]; then
        skip "$1" "$(now)" "left out by --quick"
    else
        step "$1" "$2"
    fi
}

finish() {
    if [ ${#failures[@]} -gt 0 ]; then
        printf '\nfailed: %s (logs in build/test-logs)\n' "${failures[*]}"
    fi
    printf '\n%d passed, %d failed' "$passed" "$failed"
    [ "$skipped" -eq 0 ] || printf ', %d skipped' "$skipped"
    printf '\n'
    [ "$failed" -eq 0 ]
    exit
}

mkdir -p "$logs"
deploy/dependencies.sh build test || {
    failed=1
    finish
}
if ! step build configure_and_build build all; then
    finish # nothing below could mean anything
fi

scripts=()
for path in tests/*/test_*.sh tests/*/test_*.py; do
    [ -e "$path" ] && scripts+=("$path")
done
script_name() {
    local folder=${1#tests/} file=${1##*/test_}
    printf '%s_%s' "${folder%%/*}" "${file%.*}"
}

all=$(registered_names)
long=$(registered_names -L long)
if [ $list = yes ]; then
    printf '%s\n' build tidy $all
    for path in "${scripts[@]}"; do printf '%s\n' "$(script_name "$path")"; done
    printf '%s\n' sanitizers clang
    exit 0
fi

wanted tidy && step tidy tests/tidy/tidy.py
for name in $all; do
    wanted "$name" || continue
    if [ $quick = yes ] && grep -qx "$name" <<<"$long"; then
        skip "$name" "$(now)" "long, left out by --quick"
    elif [[ $name == unit_* ]]; then
        criterion "$name" "$BUILD/tests/$name"
    else
        registered "$name"
    fi
done
for path in "${scripts[@]}"; do
    name=$(script_name "$path")
    wanted "$name" && script "$name" "$path"
done
optional sanitizers sanitizers
optional clang clang_build
finish
