#!/bin/sh
# The house's rules, held against the sources:
#   - which folder may include whose headers, and which files a library's headers;
#   - functions and files stay short.
# `check-layers.sh --self-test` proves on a fabricated tree that each rule bites;
# without arguments that is done first, too.
set -u
LC_ALL=C
export LC_ALL

MAX_FILE=600
MAX_FUNCTION=60
MAX_HEADER=120 # told, not failed

# folder: the folders whose headers it may include besides its own (store: the loop only
# to give its answers back there)
layers='
base:
loop:     base
core:     base
store:    base core loop
exec:     base core loop store
engine:   base core loop store
web:      base core loop store engine
notify:   base core loop store engine
cli:      base core
worker:   base core
init:
launch:   base core
daemon:   base core loop store exec engine web notify
main:     base core daemon'

# file or folder: single headers it may include although their folder is out of reach
exceptions='
engine:   runner.h checkout.h
launch:   launch.h cgroup.h
init:     wire.h plan.h frame.h mask.h'

# header of a library (a shell pattern): the files that may include it
libraries='
event2/*:       src/loop/*
event.h:        src/loop/*
evhtp*:         src/loop/http*
curl/*:         src/loop/httpc* src/cli/*
lmdb.h:         src/store/*
git2*:          src/worker/*
archive*.h:     src/worker/*
yaml.h:         src/core/*
sys/inotify.h:  src/engine/* src/loop/* src/exec/*'

# contracts without code behind them, and whose they are
codeless='
version.h: base'

fail=0
warn() { echo "$*" >&2; }
bad() { warn "$*"; fail=1; }

# row TABLE KEY: the values of a key
row() {
	printf '%s\n' "$1" | awk -v k="$2:" '$1 == k { $1 = ""; print; exit }'
}

# matches STRING PATTERN...
matches() {
	string=$1
	shift
	for pattern in "$@"; do
		# shellcheck disable=SC2254
		case $string in $pattern) return 0 ;; esac
	done
	return 1
}

# The folder that a contract include/slipway/X.h belongs to: where X.c is, or where
# it was split into X_*.c; a top-level src/X.c is a layer by itself.
home_of() {
	name=${1%.h}
	for candidate in src/*/"$name.c" src/*/"$name"_*.c src/"$name.c"; do
		[ -e "$candidate" ] || continue
		folder=${candidate#src/}
		case $folder in
		*/*) echo "${folder%%/*}" ;;
		*) echo "${folder%.c}" ;;
		esac
		return
	done
	row "$codeless" "$1" | tr -d ' '
}

check_contract() { # file, its folder, header
	file=$1 folder=$2 header=$3
	home=$(home_of "$header")
	if [ -z "$home" ]; then
		bad "$file: slipway/$header belongs to no folder (no src/*/${header%.h}.c)"
		return
	fi
	if [ "$folder" = init ]; then
		# shellcheck disable=SC2046
		matches "$header" $(row "$exceptions" init) ||
			bad "$file: slipway-init links nothing of the daemon but the codecs, not $header"
		return
	fi
	[ "$home" = "$folder" ] && return
	# shellcheck disable=SC2046
	matches "$home" $(row "$layers" "$folder") && return
	# shellcheck disable=SC2046
	matches "$header" $(row "$exceptions" "$folder") && return
	bad "$file: $folder must not include slipway/$header (of $home)"
}

check_library() { # file, header
	set -f
	printf '%s\n' "$libraries" | while read -r pattern files; do
		[ -n "$pattern" ] || continue
		matches "$2" "${pattern%:}" || continue
		# shellcheck disable=SC2086
		matches "$1" $files || echo "$1: only $files may include $2"
		break
	done
	set +f
}

check_includes() { # file, its folder
	sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*\([<"][^>"]*\)[>"].*/\1/p' "$1" >"$tmp/includes"
	while read -r inc; do
		header=${inc#?}
		case $inc in
		'"slipway/'* | '<slipway/'*)
			check_contract "$1" "$2" "${header#slipway/}"
			;;
		'"'*/*)
			bad "$1: include contracts as \"slipway/X.h\", folder-private headers by their name: $header"
			;;
		'"'*)
			[ -e "${1%/*}/$header" ] || bad "$1: \"$header\" is not beside it"
			;;
		*)
			told=$(check_library "$1" "$header")
			[ -z "$told" ] || bad "$told"
			;;
		esac
	done <"$tmp/includes"
}

check_sizes() { # file
	lines=$(wc -l <"$1")
	[ "$lines" -le $MAX_FILE ] || bad "$1: $lines lines, at most $MAX_FILE"
	case $1 in
	*.h) [ "$lines" -le $MAX_HEADER ] || warn "$1: $lines lines (a header of over $MAX_HEADER says too much)" ;;
	esac
	told=$(awk -v max=$MAX_FUNCTION -v file="$1" '
		/^[a-zA-Z_].*\(/ && !/;[ \t]*$/ { name = $0; sub(/\(.*/, "", name) }
		/^\{/ { open = FNR }
		/^\}/ && open {
			n = FNR - open - 1
			if (n > max && $0 == "}")
				printf "%s:%d: %s has %d lines, at most %d\n", file, open, name, n, max
			open = 0
		}' "$1")
	[ -z "$told" ] || bad "$told"
}

check_tree() {
	for file in src/*.[ch] src/*/*.[ch] include/slipway/*.h; do
		[ -e "$file" ] || continue
		case $file in
		include/*) folder=$(home_of "${file##*/}") ;;
		src/*/*) folder=${file#src/} folder=${folder%%/*} ;;
		*) folder=${file#src/} folder=${folder%.*} ;;
		esac
		if [ -z "$folder" ]; then
			bad "$file: belongs to no folder (no src/*/$(basename "$file" .h).c)"
			continue
		fi
		if ! printf '%s\n' "$layers" | grep -q "^$folder:"; then
			bad "$file: $folder is no folder of the house"
			continue
		fi
		check_includes "$file" "$folder"
		check_sizes "$file"
	done
}

# --- the rules themselves under test

plant() { # file, line...
	mkdir -p "${1%/*}"
	target=$1
	shift
	printf '%s\n' "$@" >"$target"
}

good_tree() {
	rm -rf ./include ./src
	mkdir -p include/slipway
	for m in base/err loop/loop core/conf_table store/db exec/runner_local \
		exec/checkout exec/launch engine/engine web/web init/run core/wire daemon; do
		plant "src/$m.c" '/* empty */'
	done
	for h in err loop conf db runner checkout launch engine web daemon wire; do
		plant "include/slipway/$h.h" '#pragma once'
	done
	plant src/store/db.c '#include <lmdb.h>' '#include "slipway/conf.h"'
	plant src/engine/engine.c '#include "slipway/runner.h"' '#include "slipway/checkout.h"'
	plant src/init/run.c '#include "slipway/wire.h"'
	plant src/main.c '#include "slipway/daemon.h"'
}

expect() { # 0 or 1, what is tried
	if (fail=0; check_tree 2>/dev/null; exit $fail); then got=0; else got=1; fi
	if [ "$got" -ne "$1" ]; then
		warn "self-test: $2: expected $1, got $got"
		failed_self=1
	fi
	good_tree
}

long_function() {
	printf 'int\nf(void)\n{\n'
	i=0
	while [ $i -lt "$1" ]; do
		printf '\tx();\n'
		i=$((i + 1))
	done
	printf '}\n'
}

self_test() {
	failed_self=0
	mkdir "$tmp/tree"
	here=$(pwd)
	cd "$tmp/tree" || exit 1
	good_tree
	expect 0 "a good tree"
	plant src/base/err.c '#include "slipway/loop.h"'
	expect 1 "base includes loop"
	plant src/core/conf_table.c '#include "slipway/db.h"'
	expect 1 "core includes store"
	plant src/store/db.c '#include "slipway/engine.h"'
	expect 1 "store includes engine"
	plant src/exec/launch.c '#include "slipway/engine.h"'
	expect 1 "exec includes engine"
	plant src/engine/engine.c '#include "slipway/launch.h"'
	expect 1 "engine includes what exec keeps to itself"
	plant src/engine/engine.c '  #  include  <slipway/web.h>'
	expect 1 "engine includes web, oddly spaced"
	plant src/loop/loop.c '#include "slipway/conf.h"'
	expect 1 "loop includes core"
	plant src/init/run.c '#include "slipway/err.h"'
	expect 1 "init includes base"
	plant src/web/web.c '#include <evhtp.h>'
	expect 1 "web includes evhtp"
	plant src/engine/engine.c '#include <event2/event.h>'
	expect 1 "engine includes libevent"
	plant src/exec/checkout.c '#include <git2.h>'
	expect 1 "exec includes libgit2"
	plant src/engine/engine.c '#include <lmdb.h>'
	expect 1 "engine includes lmdb"
	plant src/web/web.c '#include <curl/curl.h>'
	expect 1 "web includes curl"
	plant src/web/web.c '#include "../engine/engine.h"'
	expect 1 "a path into another folder"
	plant src/web/web.c '#include "sched.h"'
	expect 1 "another folder's private header"
	plant src/attic/x.c '/* empty */'
	expect 1 "a folder nobody knows"
	plant src/web/web.c '#include "slipway/nothing.h"'
	expect 1 "a contract without a home"
	plant include/slipway/nothing.h '#pragma once'
	expect 1 "a contract that nobody implements"
	plant include/slipway/err.h '#include "slipway/engine.h"'
	expect 1 "a contract of base that needs engine"
	long_function $MAX_FUNCTION >src/web/web.c
	expect 0 "a function at the limit"
	long_function $((MAX_FUNCTION + 1)) >src/web/web.c
	expect 1 "a function over the limit"
	yes '/* */' | head -n $MAX_FILE >src/web/web.c
	expect 0 "a file at the limit"
	yes '/* */' | head -n $((MAX_FILE + 1)) >src/web/web.c
	expect 1 "a file over the limit"
	cd "$here" || exit 1
	[ $failed_self -eq 0 ] || { warn "check-layers: the rules do not bite"; exit 1; }
}

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
self_test
[ "${1:-}" = --self-test ] && { echo "check-layers: self-test passed"; exit 0; }
cd "${srcdir:-$(dirname "$0")/..}" || exit 1
check_tree
[ $fail -eq 0 ] && echo "check-layers: the house is in order"
exit $fail
