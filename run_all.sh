#!/usr/bin/env bash
# Finds or makes the Python environment, then hands over to `python -m paperlib` (or to pytest for the verb `test`).
set -euo pipefail

for descriptor in 0 1 2; do # a closed stream would hand its number to the next file that is opened
    { true <&"$descriptor"; } 2>/dev/null || eval "exec $descriptor<>/dev/null"
done

this=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || this=${BASH_SOURCE[0]}
root=$(CDPATH='' cd -P -- "$(dirname -- "$this")" && pwd)
log=$root/results/install.log

usage() {
    cat <<'USAGE'
Usage: ./run_all.sh [VERB] [OPTIONS]      `./run_all.sh VERB --help` explains a verb and its options

  run                         every notebook in order, figures/, HTML report and summary; done where no verb is given
  test [ARGS]                 ruff and mypy, the tests, the notebooks against their stored outputs; --slow: also what takes
                              minutes, as CI does; --quick: what takes a minute; ARGS go to pytest, paths among them
                              replace the default `tests notebooks`
  table, figure, claims       of the paper; sensitivity, sacid: what they hang on
  look, code, votes, example  for pictures, votes and data of your own
  data, cost, bench, lab      what is there and missing, what tables cost, how fast we are, JupyterLab
  store                       what lies in results/ (`store ls`), and its removal (`store clean`)
  prepare, export             for the profile paper: compute without notebooks, hand trained networks on

An active conda or virtual environment that satisfies pyproject.toml is used as it is; else .venv or .conda in this folder,
made once (conda, mamba or micromamba where installed, else python3 -m venv).
  PAPERLIB_PYTHON=PATH              the Python to use, or to make .venv with
  PAPERLIB_CONDA=0|1                never use conda | use nothing else
  PAPERLIB_TORCH=auto|cpu|cuda      the build of PyTorch on Linux; auto: the smaller one for CPUs where there is no NVIDIA
                                    GPU and its index can be reached, else the locked one, with CUDA
  PAPERLIB_RESULTS, PAPERLIB_FIGURES  folders to use instead of results/ and figures/
USAGE
}

say() { printf 'run_all.sh: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

satisfies() { "$python" -I "$root/make_environment.py" lacking "$verb" 2>/dev/null; }

# ready FOLDER: an environment that satisfies; of ours, one made to the end from the present lock, with the build asked for
ready() {
    python=$1/bin/python
    [ -n "$1" ] && [ -x "$python" ] || return
    case $1 in "$root/.venv" | "$root/.conda")
        if [ -e "$1/.paperlib.lock" ]; then
            cmp -s "$root/requirements.lock" "$1/.paperlib.lock" || return
            case $PAPERLIB_TORCH in auto | "$(cat "$1/.paperlib.torch" 2>/dev/null || echo cuda)") return ;; *) return 1 ;; esac
        fi
        ;;
    esac
    satisfies
}

# find_python: sets `python` to the interpreter of an environment that is ready.
find_python() {
    local prefix
    if [ -n "${PAPERLIB_PYTHON:-}" ]; then
        python=$(command -v "$PAPERLIB_PYTHON") ||
            fail "PAPERLIB_PYTHON=$PAPERLIB_PYTHON is no program: give the path of a Python 3.11 or newer."
        ! satisfies || return 0
    fi
    for prefix in "${VIRTUAL_ENV:-}" "${CONDA_PREFIX:-}" "$root/.venv" "$root/.conda"; do
        ! ready "$prefix" || return 0
    done
    return 1
}

# pick_python: prints a Python that can make a virtual environment.
pick_python() {
    local candidate lacks others=''
    set -- python3 python3.13 python3.12 python3.11 python
    [ -z "${PAPERLIB_PYTHON:-}" ] || set -- "$PAPERLIB_PYTHON"
    for candidate; do
        command -v "$candidate" >/dev/null || continue
        lacks=$("$candidate" -c 'import tomllib, ensurepip, venv' 2>&1) && echo "$candidate" && return
        others="$others; $candidate is $("$candidate" --version 2>&1) (${lacks##*: })"
    done
    fail "Python 3.11 or newer with venv (python3-venv on Debian and Ubuntu) is needed$others:" \
        "install it, or set PAPERLIB_PYTHON to the path of one."
}

# take_lock [-n]: on descriptor 9; the kernel gives it back when the last process that holds it ends, however it ends.
take_lock() { flock "$@" 9 2>/dev/null || perl -e 'open F, ">&=9"; flock F, @ARGV ? 6 : 2 or exit 1' -- "$@" 2>/dev/null; }

make_conda() {
    local tool
    [ "${PAPERLIB_CONDA:-}" != 0 ] && [ -z "${PAPERLIB_PYTHON:-}" ] || return
    for tool in mamba micromamba conda "${MAMBA_EXE:-}" "${CONDA_EXE:-}"; do
        command -v "$tool" && break
    done >/dev/null || return
    say "making Python in .conda with $tool, log: $log"
    rm -rf "$root/.conda"
    "$tool" create --yes --prefix "$root/.conda" --override-channels --channel conda-forge \
        "python$(sed -n 's/^  - python //p' "$root/environment.yml")" pip >>"$log" 2>&1 </dev/null || return
    : >"$root/.conda/.paperlib.lock"
}

make_environment() (
    [ -w "$root" ] || fail "there is no environment yet and $root cannot be written:" \
        "activate one that satisfies pyproject.toml, or set PAPERLIB_PYTHON."
    case $root in *:*) fail "no environment can be made in $root because of the colon in its path: move the folder." ;; esac
    exec 9>"$root/.install.lock"
    take_lock -n || { say "another run is making the environment; waiting for it." && take_lock; } || true
    ! find_python || exit 0 # made by the run that we waited for
    unset PYTHONHOME PYTHONPATH
    mkdir -p "${log%/*}" && : >"$log"
    prefix=$root/.venv maker=$root/.venv/bin/python
    if make_conda; then
        prefix=$root/.conda maker=$root/.conda/bin/python
    elif [ "${PAPERLIB_CONDA:-}" = 1 ]; then
        fail "no conda, mamba or micromamba could make the environment; $log says why."
    elif { [ -e "$prefix/.paperlib.lock" ] && [ ! -s "$prefix/.paperlib.lock" ]; } || ! "$maker" -c '' 2>/dev/null; then
        maker=$(pick_python) || exit
    elif ! "$maker" -c 'import tomllib' 2>/dev/null; then
        fail "the folder .venv holds $("$maker" --version 2>&1), but 3.11 or newer is needed: remove .venv and run again."
    fi
    "$maker" -I "$root/make_environment.py" make "$prefix" "$maker"
)

# writable_home: tools below us keep caches under $HOME; without write access there, give them a folder of ours.
writable_home() {
    [ -n "${HOME:-}" ] && [ -d "$HOME" ] && [ -w "$HOME" ] && return
    HOME=$root/results/.cache/home
    mkdir -p "$HOME" 2>/dev/null || HOME=$(mktemp -d)
    export HOME
    export XDG_CACHE_HOME=$HOME/.cache XDG_CONFIG_HOME=$HOME/.config XDG_DATA_HOME=$HOME/.local/share
}

# run_tests ARGS: pytest over tests and notebooks in one session, so that one line holds the totals; the code is checked
# first, unless ARGS choose paths.
run_tests() {
    local argument check failed='' notebooks='' paths='' given=() chosen=(-m 'not slow')
    for argument; do
        case $argument in
        --quick) paths=quick && continue ;;
        --slow) chosen=() && continue ;;
        tests | tests/* | ./tests | ./tests/* | "$root"/tests*) paths=given ;;
        notebooks | notebooks/* | ./notebooks* | *.ipynb*) paths=given notebooks=given ;;
        esac
        given+=("$argument")
    done
    cd "$root"
    case $paths in
    given) chosen=() ;;
    quick) chosen=(tests/unit tests/property -m 'not slow and not medium' -n logical --maxprocesses 4 --dist loadfile) ;;
    '')
        notebooks=given
        chosen=(tests notebooks ${chosen[@]+"${chosen[@]}"} -n logical --maxprocesses 4 --dist loadfile)
        for check in 'ruff check .' 'ruff format --check .' 'mypy'; do
            # shellcheck disable=SC2086
            "$python" -m $check >&2 || failed="$failed${failed:+, }$check"
        done
        [ -z "$failed" ] || fail "no test was run, because the code did not pass: $failed; what they found stands above."
        ;;
    esac
    [ -z "$notebooks" ] || "$python" -P -m paperlib prepare --profile demo
    exec "$python" -m pytest --nbval --nbval-current-env ${chosen[@]+"${chosen[@]}"} ${given[@]+"${given[@]}"}
}

verb=${1:-run}
case $verb in
-h | --help | help) usage && exit ;;
-*) verb=run ;;
run) [ $# -eq 0 ] || shift ;;
*) shift ;;
esac

case ${PAPERLIB_TORCH:=auto} in
auto | cpu | cuda) [[ $OSTYPE == linux* ]] || PAPERLIB_TORCH=cuda ;; # elsewhere there is one build, that of the lock
*) say "PAPERLIB_TORCH is auto, cpu or cuda, not '$PAPERLIB_TORCH'." && exit 2 ;;
esac
export PAPERLIB_TORCH

writable_home
find_python || { make_environment && find_python; } || exit 1
PATH=${python%/*}:$PATH
export PATH PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}

[ "$verb" != test ] || run_tests "$@"
exec "$python" -P -m paperlib "$verb" "$@"
