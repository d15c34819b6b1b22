#!/bin/sh
# Prints the first interpreter that the project runs on, or says in one sentence what is missing.
# Usage: find_python.sh [INTERPRETER]
set -u

[ -n "${1:-}" ] || set -- python3.13 python3.12 python3.11 python3 python python3.14
probe='import sys; v = sys.version_info; print("%d.%d" % v[:2]); sys.exit(not (3, 11) <= v[:2] < (3, 14))'
found=
for candidate in "$@"; do
    # A command of that name may exist and still not run (version managers leave such shims), so it is run.
    if version=$("$candidate" -c "$probe" 2>/dev/null); then
        echo "$candidate"
        exit 0
    elif [ -n "$version" ]; then
        found="$found $candidate is $version,"
    fi
done
echo "bioattack needs Python 3.11, 3.12 or 3.13 (TensorFlow 2.21 has no wheel for any other):${found:- none was found,} so install one of them and run make again, or name it with PYTHON=/path/to/python3.12" >&2
exit 2
