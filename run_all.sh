#!/usr/bin/env bash
# Finds or makes the Python environment, then hands over to `python -m paperlib` (or to pytest for the verb `test`).
set -euo pipefail

for descriptor in 0 1 2; do # a closed stream would hand its number to the next file that is opened
    { true <&"$descriptor"; } 2>/dev/null || eval "exec $descriptor<>/dev/null"
done

this=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || this=${BASH_SOURCE[0]}
root=$(CDPATH='' cd -P -- "$(dirname -- "$this")" && pwd)
lock=$root/requirements.lock
log=$root/results/install.log
needed_gb=12

usage() {
    cat <<'USAGE'
Usage: ./run_all.sh [VERB] [OPTIONS]

  ./run_all.sh                 every notebook in order, figures/, HTML report and summary (profile: demo)
  ./run_all.sh test [ARGS]     ruff and mypy, unit, property and fault tests, the notebooks against their stored outputs;
                               ARGS go to pytest, paths among them replace the default `tests notebooks`
  ./run_all.sh lab             JupyterLab at the first notebook
  ./run_all.sh table 1|2|3     one table of the paper              (--csv, --json, --seeds N)
  ./run_all.sh figure 1|2      one figure of the paper
  ./run_all.sh claims          the claims of the paper, checked    (--json)
  ./run_all.sh sensitivity     what hangs on the saliency loss and its weight
  ./run_all.sh sacid           what SACID's scores say about bit-rate and preset alone
  ./run_all.sh look PICTURE    a score for your picture, its saliency map and its GradCAM, offline
  ./run_all.sh code IMAGE      your picture, coded with saliency   (--saliency MAP --bpp X)
  ./run_all.sh votes FILE      scores from your own pairwise votes
  ./run_all.sh example DIR     a folder of data as your own could be, and what to do with it
  ./run_all.sh data status     data sets and weights: what is there, what is missing (also fetch, verify, where)
  ./run_all.sh cost            what the tables cost on this device
  ./run_all.sh export          the Baselines of Table II as weights for Table I and Figure 2
  ./run_all.sh store ls        what lies in results/, what of it a run needs; `store clean` removes what none does
  ./run_all.sh bench           speed against peers                 (--json)

Options of a run:
  --profile NAME        how large a run, on which data: demo (default), open, paper, own, rehearsal
  --data-root FOLDER    your data, for the profiles paper and own
  --only NOTEBOOK       one notebook, for example 03a
  --set NAME=VALUE      a notebook parameter
  --results FOLDER      where results are stored

Every other verb and option goes to `python -m paperlib`; `./run_all.sh VERB --help` explains a verb.

Environment: an active conda or virtual environment that satisfies pyproject.toml is used as it is; else .venv or .conda
in this folder, made once (conda, mamba or micromamba where installed, else python3 -m venv).
  PAPERLIB_PYTHON=PATH  the Python to use, or to make .venv with
  PAPERLIB_CONDA=0|1    never use conda | use nothing else
  PAPERLIB_RESULTS, PAPERLIB_FIGURES  folders to use instead of results/ and figures/
USAGE
}

say() { printf 'run_all.sh: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# ---------------------------------------------------------------------------------------------- which Python
probe='
import sys
print("%d.%d.%d" % sys.version_info[:3])
if sys.version_info < (3, 11):
    sys.exit(3)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(4)
'

check='
import sys
if sys.version_info < (3, 11):
    sys.exit("Python 3.11 or newer")
import tomllib
from importlib.metadata import PackageNotFoundError, version
try:
    from packaging.requirements import Requirement
except ImportError:
    sys.exit("packaging")
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
wanted = project["dependencies"] + (project["optional-dependencies"]["test"] if sys.argv[2] == "test" else [])
for requirement in map(Requirement, wanted):
    if requirement.marker is None or requirement.marker.evaluate():
        try:
            if not requirement.specifier.contains(version(requirement.name), prereleases=True):
                sys.exit(str(requirement))
        except PackageNotFoundError:
            sys.exit(str(requirement))
'

# satisfies PYTHON: does it hold what pyproject.toml asks for? If not, the first thing it lacks goes to stdout.
satisfies() { "$1" -I -c "$check" "$root/pyproject.toml" "$verb" 2>&1; }

# whole FOLDER: did this script make the environment, to the end, from the present lock?
whole() { cmp -s "$lock" "$1/.paperlib.lock" && [ -x "$1/bin/python" ]; }

# find_python: sets `python` to the interpreter of an environment that is ready.
find_python() {
    local prefix
    if [ -n "${PAPERLIB_PYTHON:-}" ]; then
        python=$(command -v "$PAPERLIB_PYTHON") ||
            fail "PAPERLIB_PYTHON=$PAPERLIB_PYTHON is no program: give the path of a Python 3.11 or newer."
        satisfies "$python" >/dev/null && return
    fi
    for prefix in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}"; do
        case $prefix in '' | "$root/.venv" | "$root/.conda") continue ;; esac
        python=$prefix/bin/python
        [ -x "$python" ] && satisfies "$python" >/dev/null && return
    done
    for prefix in "$root/.venv" "$root/.conda"; do
        python=$prefix/bin/python
        whole "$prefix" && return
    done
    prefix=$root/.venv # made by somebody else
    python=$prefix/bin/python
    [ -x "$python" ] && [ ! -e "$prefix/.paperlib-installing" ] && [ ! -e "$prefix/.paperlib.lock" ] &&
        satisfies "$python" >/dev/null
}

# pick_python: prints a Python that can make a virtual environment.
pick_python() {
    local candidate version status old='' bare=''
    set -- python3 python3.13 python3.12 python3.11 python
    [ -z "${PAPERLIB_PYTHON:-}" ] || set -- "$PAPERLIB_PYTHON"
    for candidate; do
        command -v "$candidate" >/dev/null || continue
        status=0
        version=$("$candidate" -c "$probe" 2>/dev/null) || status=$?
        case $status in
        0)
            printf '%s\n' "$candidate"
            return
            ;;
        3) old=${old:-"; $candidate is Python $version"} ;;
        4) bare=${bare:-"$candidate (Python $version)"} ;;
        esac
    done
    [ -z "$bare" ] || fail "$bare has no venv module: install it (python3-venv on Debian and Ubuntu)" \
        "or set PAPERLIB_PYTHON to another Python 3.11 or newer."
    fail "Python 3.11 or newer is needed$old: install one, or set PAPERLIB_PYTHON to the path of one."
}

# ------------------------------------------------------------------------------------------ make the environment
# hold_lock: one installer at a time; released when the calling subshell ends.
hold_lock() {
    local holder
    if command -v flock >/dev/null; then
        exec 9>"$root/.install.lock"
        flock -n 9 || {
            say "another run is making the environment; waiting for it."
            flock 9 || true
        }
        return
    fi
    until mkdir "$root/.install.lock.d" 2>/dev/null; do
        holder=$(cat "$root/.install.lock.d/pid" 2>/dev/null) || holder=''
        if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
            rm -rf "$root/.install.lock.d"
        else
            sleep 1
        fi
    done
    echo "$$" >"$root/.install.lock.d/pid"
    trap 'rm -rf "$root/.install.lock.d"' EXIT
}

need_disk() {
    local free_kb
    free_kb=$(df -Pk "$root" 2>/dev/null | awk 'NR == 2 { print $4 }') || return 0
    case $free_kb in '' | *[!0-9]*) return 0 ;; esac
    [ "$free_kb" -ge $((needed_gb * 1024 * 1024)) ] ||
        fail "the environment needs $needed_gb GB of free disk and $root has $((free_kb / 1024 / 1024)) GB:" \
            "make room there, or activate an environment that satisfies pyproject.toml."
}

logged() { "$@" >>"$log" 2>&1 </dev/null; }

give_up() {
    if grep -q -i 'no space left' "$log"; then
        fail "the disk ran full while the environment was made in $1; it needs $needed_gb GB:" \
            "make room and run again (log: $log)."
    fi
    fail "$2; the last lines of $log say why. Check the network and run again."
}

# begin FOLDER: from here until `finish`, a killed install can be recognised.
begin() {
    mkdir -p "$1"
    : >"$1/.paperlib-installing"
    rm -f "$1/.paperlib.lock"
}

finish() {
    local lacks packages
    lacks=$(satisfies "$1/bin/python") ||
        fail "the environment in $1 was made but lacks $lacks: remake requirements.lock from pyproject.toml."
    for packages in "$1"/lib/python3*/site-packages; do
        echo '../../../..' >"$packages/paperlib.pth" # this repository, seen from there: survives a move
    done
    cp "$lock" "$1/.paperlib.lock"
    rm -f "$1/.paperlib-installing"
}

make_conda() {
    local prefix=$root/.conda tool create
    for tool in mamba micromamba conda "${MAMBA_EXE:-}" "${CONDA_EXE:-}" ''; do
        [ -n "$tool" ] && command -v "$tool" >/dev/null && break
    done
    [ -n "$tool" ] || return
    need_disk
    create='env create'
    case $tool in *micromamba) create=create ;; esac
    say "making the environment in .conda with $tool (once, some minutes, about 8 GB; log: $log)."
    rm -rf "$prefix"
    # The lock is complete; without --no-deps pip would add opencv-python beside opencv-python-headless.
    # shellcheck disable=SC2086
    PIP_NO_DEPS=1 CONDA_ALWAYS_YES=true MAMBA_ALWAYS_YES=true \
        logged "$tool" $create --prefix "$prefix" --file "$root/environment.yml" || {
        say "$tool did not succeed; trying python3 -m venv."
        return 1
    }
    begin "$prefix"
    finish "$prefix"
}

# make_venv: uv, bootstrapped by pip, is several times faster; plain pip is the fallback.
make_venv() {
    local prefix=$root/.venv python=$root/.venv/bin/python base version status=0
    version=$("$python" -c "$probe" 2>/dev/null) || status=$?
    if [ ! -e "$prefix/.paperlib-installing" ] && [ -n "$version" ]; then
        [ "$status" -ne 3 ] ||
            fail "the folder .venv holds Python $version, but 3.11 or newer is needed: remove .venv and run again."
        say "bringing .venv up to requirements.lock (log: $log)."
        begin "$prefix"
    else
        base=$(pick_python) || exit 1
        need_disk
        say "making the environment in .venv (once, a minute or a few, about 8 GB; log: $log)."
        rm -rf "$prefix"
        begin "$prefix"
        logged "$base" -m venv "$prefix" || give_up "$prefix" "$base -m venv failed"
    fi
    logged "$python" -m pip --version || logged "$python" -m ensurepip ||
        give_up "$prefix" "pip could not be set up in .venv"
    if ! { logged "$python" -m pip install uv &&
        logged "$python" -m uv pip install --python "$python" --no-deps --compile-bytecode -r "$lock"; }; then
        say "uv did not succeed; trying plain pip, which takes longer."
        logged "$python" -m pip install --no-deps -r "$lock" ||
            give_up "$prefix" "the packages of requirements.lock could not be installed"
    fi
    finish "$prefix"
}

make_environment() (
    [ -w "$root" ] || fail "there is no environment yet and $root cannot be written:" \
        "activate one that satisfies pyproject.toml, or set PAPERLIB_PYTHON."
    case $root in
    *:*) fail "no environment can be made in $root because of the colon in its path: move the folder." ;;
    esac
    hold_lock
    ! find_python || exit 0 # made by the run that we waited for
    mkdir -p "${log%/*}"
    : >"$log"
    export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
    unset PYTHONHOME PYTHONPATH
    if [ "${PAPERLIB_CONDA:-}" != 0 ] && [ -z "${PAPERLIB_PYTHON:-}" ]; then
        ! make_conda || exit 0
        [ "${PAPERLIB_CONDA:-}" != 1 ] ||
            give_up "$root/.conda" "no conda, mamba or micromamba could make the environment"
    fi
    make_venv
)

# --------------------------------------------------------------------------------------------------- hand over
# writable_home: tools below us keep caches under $HOME; without write access there, give them a folder of ours.
writable_home() {
    [ -n "${HOME:-}" ] && [ -d "$HOME" ] && [ -w "$HOME" ] && return
    HOME=$root/results/.cache/home
    mkdir -p "$HOME" 2>/dev/null || HOME=$(mktemp -d)
    export HOME
    export XDG_CACHE_HOME=$HOME/.cache XDG_CONFIG_HOME=$HOME/.config XDG_DATA_HOME=$HOME/.local/share
}

# check_code: the checks of .pre-commit-config.yaml; all of them run before one that found something ends the run.
check_code() {
    local check failed=''
    for check in 'ruff check .' 'ruff format --check .' 'mypy'; do
        # shellcheck disable=SC2086
        "$python" -m $check >&2 || failed="$failed${failed:+, }$check"
    done
    [ -z "$failed" ] || fail "no test was run, because the code did not pass: $failed; what they found stands above."
}

# run_tests ARGS: pytest over tests and notebooks in one session, so that one line holds the totals; the code is checked
# first, unless ARGS choose paths.
run_tests() {
    local argument paths='' notebooks=''
    for argument; do
        case $argument in
        tests | tests/* | ./tests | ./tests/* | "$root"/tests*) paths=given ;;
        notebooks | notebooks/* | ./notebooks* | *.ipynb*) paths=given notebooks=given ;;
        esac
    done
    cd "$root"
    if [ -z "$paths" ]; then
        set -- tests notebooks "$@"
        notebooks=given
        check_code
    fi
    [ -z "$notebooks" ] || "$python" -P -m paperlib prepare --profile demo
    exec "$python" -m pytest --nbval --nbval-current-env "$@"
}

verb=${1:-run}
case $verb in
-h | --help | help)
    usage
    exit
    ;;
-*) verb=run ;;
run) [ $# -eq 0 ] || shift ;;
*) shift ;;
esac

writable_home
find_python || { make_environment && find_python; } || exit 1
PATH=${python%/*}:$PATH
export PATH PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}

case $verb in
test) run_tests "$@" ;;
*) exec "$python" -P -m paperlib "$verb" "$@" ;;
esac
