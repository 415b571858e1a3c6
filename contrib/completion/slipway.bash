# bash completion of slipway(1).
#
# Verbs and options are those that slipway --help tells of, jobs those that the server
# lists: there is nothing here to go out of date.

_slipway_options() { # slipway [VERB] --help
	"$@" --help 2>/dev/null | sed -n 's/^  \(-., \|    \)\(--[a-z-]*\).*/\2/p'
}

_slipway_verbs() { # slipway: a line each, some of two words
	"$1" --help 2>/dev/null | sed -n 's/^  \([a-z]*\( [a-z][a-z]*\)\{0,1\}\) .*/\1/p'
}

_slipway_jobs() { # slipway, options..., filter
	"$@" --no-color list --limit 100 2>/dev/null | while read -r _ id _; do
		printf '%s\n' "$id"
	done
}

_slipway() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local program=${COMP_WORDS[0]} verb='' verbs='' args='' word i
	local -a server=()

	# bash takes http://x apart at its colons, but not what follows unix:.
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		case $word in
		-s | --server | --token-file)
			[ "${COMP_WORDS[i + 1]-}" != = ] || ((i++))
			server+=("$word" "${COMP_WORDS[i + 1]-}")
			((i++))
			while [ "${COMP_WORDS[i + 1]-}" = : ] && ((i + 2 < COMP_CWORD)); do
				server[${#server[@]} - 1]+=:${COMP_WORDS[i + 2]}
				((i += 2))
			done
			;;
		--status | --repo | --branch | --limit | --step | --tail | --attempt | \
			--reason | --config | --name | --scope | --expires) ((i++)) ;;
		-* | : | =) ;;
		*)
			if [ -z "$verb" ]; then
				verb=$word
				verbs=$(_slipway_verbs "$program" | sed -n "s/^$verb //p")
			elif [ -n "$verbs" ]; then
				verb+=" $word"
				verbs=''
			fi
			;;
		esac
	done

	case $prev in
	--token-file | --config)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--status)
		mapfile -t COMPREPLY < <(compgen -W \
			'queued running success failure timeout cancelled' -- "$cur")
		return
		;;
	--scope)
		mapfile -t COMPREPLY < <(compgen -W 'read submit admin' -- "$cur")
		return
		;;
	-s | --server | --repo | --branch | --limit | --step | --tail | --attempt | \
		--reason | --name | --expires)
		return
		;;
	esac

	if [[ $cur == -* ]]; then
		# shellcheck disable=SC2086 # none, one or two words
		mapfile -t COMPREPLY < <(compgen -W \
			"$(_slipway_options "$program" $verb)" -- "$cur")
		return
	fi
	if [ -z "$verb" ] || [ "$verb" = help ]; then
		verbs="$(_slipway_verbs "$program" | sed 's/ .*//' | uniq) help"
	fi
	if [ -n "$verbs" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur")
		return
	fi
	args=$("$program" --help 2>/dev/null | sed -n "s/^  $verb  *\([A-Z[][A-Z]*]*\) .*/\1/p")
	case $args in
	FILE) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	ID | '[ID]')
		mapfile -t COMPREPLY < <(compgen -W \
			"$(_slipway_jobs "$program" "${server[@]}")" -- "$cur")
		;;
	esac
}

complete -o filenames -F _slipway slipway
