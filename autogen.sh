#!/bin/sh
# Makes ./configure in a checkout. Needs autoconf, automake and pkg-config.
set -e
cd "$(dirname "$0")"
for tool in autoreconf automake pkg-config; do
	command -v $tool >/dev/null || {
		echo "autogen.sh: no $tool; on Debian: apt-get install autoconf automake pkg-config" >&2
		exit 69
	}
done
autoreconf --force --install
