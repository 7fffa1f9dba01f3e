#!/usr/bin/env bash
# svcc verify with the inputs of action.yml, which come as INPUT_… ; its exit code is the result.
set -euo pipefail

arguments=(verify)
each() { # option, lines
    local line
    while IFS= read -r line; do
        [[ -z ${line// /} ]] || arguments+=("$1=$line")
    done <<<"$2"
}
switch() { # option, name of the input, value
    case $3 in
        true) arguments+=("$1") ;;
        false | "") ;;
        *)
            echo "::error::$2 is '$3'; write true or false"
            exit 2
            ;;
    esac
}

each --filename "$INPUT_FILES"
each --exclude "$INPUT_EXCLUDE"
each --rules "$INPUT_RULES"
each --policy "$INPUT_POLICY"
switch --recursive recursive "$INPUT_RECURSIVE"
switch --strict strict "$INPUT_STRICT"
# Rules of a cluster hold for what the cluster has.
[[ -n $INPUT_RULES ]] || switch --simulate simulate "$INPUT_SIMULATE"
[[ -z $INPUT_CONFIG ]] || arguments+=("--config=$INPUT_CONFIG")
[[ -z $INPUT_MODE ]] || arguments+=("--mode=$INPUT_MODE")
arguments+=("--output=$INPUT_OUTPUT")

code=0
if [[ -n $INPUT_OUTPUT_FILE ]]; then
    "${SVCC:-svcc}" "${arguments[@]}" | tee "$INPUT_OUTPUT_FILE" || code=${PIPESTATUS[0]}
else
    "${SVCC:-svcc}" "${arguments[@]}" || code=$?
fi
case $code in
    0) verdict=proved ;;
    1) verdict=violated ;;
    3) verdict=undecided ;;
    *) verdict=error ;;
esac
echo "verdict=$verdict" >>"${GITHUB_OUTPUT:-/dev/null}"
exit "$code"
