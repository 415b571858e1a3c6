#!/bin/sh
# What the built programs must be: slipway-init static and small, the daemon without
# the libraries that read untrusted packs and archives, everything hardened.
set -u
cd "${builddir:-.}" || exit 1
fail=0
bad() { echo "check-programs: $*" >&2; fail=1; }

size=$(wc -c <slipway-init) || exit 1
if readelf -lW slipway-init | grep -q INTERP; then
	bad "slipway-init is not static"
fi
if [ "${init_is_musl:-no}" = yes ] && [ "$size" -ge $((200 * 1024)) ]; then
	bad "slipway-init has $size bytes; it must stay under 200 KiB"
fi

for lib in libgit2 libarchive libssh2; do
	if readelf -dW slipwayd | grep -q "NEEDED.*\[$lib"; then
		bad "slipwayd links $lib, which belongs to slipway-worker"
	fi
done
readelf -dW slipway-worker | grep -q 'NEEDED.*\[libgit2' ||
	bad "slipway-worker does not link libgit2"

for program in slipwayd slipway slipway-launch slipway-worker; do
	readelf -hW $program | grep -q 'Type: *DYN' || bad "$program is not PIE"
	readelf -lW $program | grep -q GNU_RELRO || bad "$program has no RELRO"
	readelf -dW $program | grep -Eq 'BIND_NOW|FLAGS.* NOW' || bad "$program binds lazily"
	if readelf -lW $program | grep 'GNU_STACK' | grep -q 'RWE'; then
		bad "$program has an executable stack"
	fi
done

[ $fail -eq 0 ] && echo "check-programs: slipway-init has $size bytes, all is in order"
exit $fail
