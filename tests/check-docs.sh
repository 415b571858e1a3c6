#!/bin/sh
# The documents name everything that exists: each configuration key, route, verb of the
# client and field of a job; and the manual pages are well-formed.
set -u
LC_ALL=C
export LC_ALL
srcdir=${srcdir:-$(dirname "$0")/..}
builddir=${builddir:-$srcdir/build}
case $builddir in /*) ;; *) builddir=$(pwd)/$builddir ;; esac
cd "$srcdir" || exit 1

fail=0
bad() { echo "check-docs: $*" >&2; fail=1; }
# A list that comes out empty would make its check pass for ever.
want() { # what, how many at least, list
	n=$(printf '%s\n' "$3" | grep -c .)
	[ "$n" -ge "$2" ] || bad "found only $n $1, there should be $2 or more: is the check still right?"
}

# --- configuration keys: slipway.yaml(5) has an item for each, etc/slipway.yaml a line

described=$("$builddir/slipwayd" --describe-config) ||
	bad "slipwayd --describe-config does not work"
keys=$(printf '%s\n' "$described" | cut -f 1)
want "configuration keys" 30 "$keys"
# The sample as dotted paths, items of lists as "list[].key", with their values.
sample=$(sed -n 's/^#\( *[a-z_]*:\)/\1/p; s/^#\( *- \)/\1/p' etc/slipway.yaml | awk '
	{
		match($0, /^ */)
		indent = RLENGTH
		line = substr($0, indent + 1)
		if (line ~ /^- [a-z_]+:/) {
			item[indent] = 1
			line = substr(line, 3)
			dash = indent
			indent += 2
		} else if (line ~ /^- /) {
			sub(/^- /, "", line)
			printf "%s\t%s\n", last "[]", line
			next
		}
		name = line
		sub(/:.*/, "", name)
		value = line
		sub(/^[^:]*: */, "", value)
		path = ""
		for (i = 0; i < indent; i += 2) {
			if (i in names)
				path = path names[i] ((i + 2 in item) ? "[]" : "") "."
			else if (i in item)
				continue
		}
		for (i = indent; i <= 20; i += 2)
			delete names[i]
		for (i = indent + 1; i <= 20; i++)
			delete item[i]
		names[indent] = name
		last = path name
		printf "%s\t%s\n", last, value
	}')

printf '%s\n' "$described" >"${TMPDIR:-/tmp}/check-docs.$$"
trap 'rm -f "${TMPDIR:-/tmp}/check-docs.$$"' EXIT
while IFS="$(printf '\t')" read -r key rest; do
	short=${key##*[]].} # keys of list items stand alone in the manual
	grep -Eq "^\.It Cm $short( |\$)|^\.Cm $short\$|^\.Cm $short " man/slipway.yaml.5 ||
		bad "man/slipway.yaml.5 does not tell of $key"
	printf '%s\n' "$sample" | cut -f 1 | sort -u | grep -qxF -e "$key" -e "${key}[]" ||
		bad "etc/slipway.yaml does not have $key"
done <"${TMPDIR:-/tmp}/check-docs.$$"
for key in $(printf '%s\n' "$sample" | cut -f 1 | sed 's/\[\]$//' | sort -u); do
	printf '%s\n' "$keys" | grep -qF "$key" || bad "etc/slipway.yaml has $key, which is no key"
done

# The sample with every comment taken off is a configuration, and one without any
# changes nothing.
"$builddir/slipwayd" -t -c etc/slipway.yaml >/dev/null || bad "etc/slipway.yaml is not valid"
uncommented=$(mktemp)
sed 's/^#\( *[a-z_]*:\)/\1/; s/^#\( *- \)/\1/' etc/slipway.yaml >"$uncommented"
"$builddir/slipwayd" -t -c "$uncommented" >/dev/null ||
	bad "etc/slipway.yaml with its comments taken off is not valid"
# Its values are the defaults, but for the examples in git.credentials and runners.
plain() { "$builddir/slipwayd" --print-config "$@" | sed '/^runners:/,$d; /credentials:/,/^[a-z]/{/^[a-z]/!d}'; }
plain -c /dev/null >"$uncommented.default"
plain -c "$uncommented" >"$uncommented.sample"
diff "$uncommented.default" "$uncommented.sample" >&2 ||
	bad "etc/slipway.yaml shows defaults (>) that are not the real ones (<)"
rm -f "$uncommented" "$uncommented.default" "$uncommented.sample"

# --- routes: the manual has "METHOD /path" for each

routes=$(sed -n 's/.*{ *HTTP_\([A-Z]*\), *"\([^"]*\)".*/\1 \2/p' src/web/*.c | sort -u)
want "routes" 10 "$routes"
printf '%s\n' "$routes" | while read -r method path; do
	case $path in *.css | *.js) continue ;; esac # parts of pages
	grep -Eq "^\.(It )?Li $method $path(\?.*)?\$" man/slipwayd.8 || echo "$method $path"
done | while read -r route; do
	echo "check-docs: man/slipwayd.8 does not tell of $route" >&2
	echo bad
done | grep -q bad && fail=1

# --- verbs of the client

verbs=$("$builddir/slipway" --help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p' | sort -u)
want "verbs" 8 "$verbs"
for verb in $verbs; do
	grep -Eq "^\.It Cm $verb( |\$)" man/slipway.1 || bad "man/slipway.1 does not tell of $verb"
done

# --- fields of the job object

fields=$(sed -n 's/^\t{ *\(\.name = \)\{0,1\}"\([a-zA-Z]*\)", *\(\.parse = \)\{0,1\}[a-z].*/\2/p' src/core/jobspec_parse.c src/core/jobspec_fields.c 2>/dev/null | sort -u)
want "job fields" 25 "$fields"
for field in $fields; do
	grep -Eq "^\.It Va ([a-zA-Z]+ , )*$field( |\$)" man/slipway-job.5 ||
		bad "man/slipway-job.5 does not tell of $field"
done

# Those that are taken are in the description of the API, too.
taken=$(sed -n '/parse_unsupported/d; s/^\t{ *"\([a-zA-Z]*\)", *\.parse = .*/\1/p' src/core/jobspec_parse.c | sort -u)
want "job fields that are taken" 25 "$taken"
for field in $taken; do
	grep -Eq "^	\{ \"$field!?\"" src/web/api_openapi_schemas.c ||
		bad "src/web/api_openapi_schemas.c does not tell of the job's $field"
done

# --- form

if command -v mandoc >/dev/null; then
	told=$(mandoc -Tlint -W warning man/*.[1-8]) || bad "mandoc complains: $told"
elif [ "${CI:-}" = true ]; then
	bad "mandoc is not installed"
fi
for page in man/*.[1-8]; do
	grep -h '^\.Xr slipway' "$page" | while read -r _ name section _; do
		[ -e "man/$name.$section" ] || echo "$page: no page $name($section)"
	done
done | grep . >&2 && fail=1

[ $fail -eq 0 ] && echo "check-docs: the documents are complete"
exit $fail
