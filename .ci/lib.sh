# What .ci/scenarios and .ci/determinism share. Sourced, not run.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
shopt -s nullglob
scenarios=(testdata/scenarios/*.yaml)
shopt -u nullglob

# need_scenarios stops here when there is nothing to run. A tree without a simulator has nothing to prove; one with a
# simulator and no scenario, or the reverse, would pass by proving nothing, and fails.
need_scenarios() {
  if [[ ! -d cmd/wavesim && ${#scenarios[@]} -eq 0 ]]; then
    echo "no cmd/wavesim and no testdata/scenarios: nothing to run"
    exit 0
  fi
  if [[ ! -d cmd/wavesim || ${#scenarios[@]} -eq 0 ]]; then
    echo "cmd/wavesim and testdata/scenarios/*.yaml need each other; one of them is missing" >&2
    exit 1
  fi
}

# build_wavesim puts wavesim and wavesim-race into a folder of its own, $bin, which is removed at the end.
build_wavesim() {
  bin=$(mktemp -d)
  trap 'rm -rf "$bin"' EXIT
  go build -o "$bin/wavesim" ./cmd/wavesim
  if [[ ${1:-race} == race ]]; then
    go build -race -o "$bin/wavesim-race" ./cmd/wavesim
  fi
}

# trace_hash FILE prints the trace_hash of a verdict in JSON, or nothing.
trace_hash() {
  sed -n 's/.*"trace_hash"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$1" | sed -n 1p
}
