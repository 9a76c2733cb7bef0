package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/wavepool/wavepool/netsim/scenario"
)

// completion prints a script that teaches a shell the commands, the flags of each, and what stands behind them.
func completion(args []string, stdout io.Writer) error {
	if len(args) == 1 {
		switch args[0] {
		case "-h", "-help", "--help":
			return errHelp
		case "bash":
			fmt.Fprint(stdout, fillIn(bashScript, func(command string) string {
				return fmt.Sprintf("    %s) flags=\"%s\" words=\"%s\" ;;\n", command, joinWords(flagsOf(command)), joinWords(wordsOf(command)))
			}))
			return nil
		case "zsh":
			fmt.Fprint(stdout, fillIn(zshScript, func(command string) string {
				return fmt.Sprintf("    %s) flags=(%s) known=(%s) ;;\n", command, joinWords(flagsOf(command)), joinWords(wordsOf(command)))
			}))
			return nil
		case "fish":
			fmt.Fprint(stdout, fishScript())
			return nil
		}
	}
	return errors.New("completion needs the name of the shell: bash, zsh or fish, as in: source <(wavesim completion bash)")
}

// wordsOf are what a command takes that is not a file.
func wordsOf(command string) (words []string) {
	switch command {
	case "explain":
		for _, k := range scenario.FaultKinds() {
			words = append(words, k.Name)
		}
	case "completion":
		words = []string{"bash", "zsh", "fish"}
	}
	return words
}

// fileFlags want a file behind them, and valueFlags something that nobody can guess. Others stand alone.
var (
	fileFlags  = []string{"-config", "-trace", "-report", "-out"}
	valueFlags = []string{"-seed", "-seeds", "-shard", "-parallel", "-limit", "-expect"}
)

func joinWords(words []string) string { return strings.Join(words, " ") }

// fillIn writes a script with the commands, one case for each, and the kinds of flags.
func fillIn(script string, each func(command string) string) string {
	var cases strings.Builder
	for _, c := range commands {
		cases.WriteString(each(c))
	}
	return strings.NewReplacer("@COMMANDS@", joinWords(commands), "@CASES@\n", cases.String(),
		"@FILES@", strings.Join(fileFlags, "|"), "@VALUES@", strings.Join(valueFlags, "|")).Replace(script)
}

const bashScript = `# wavesim, for bash: source <(wavesim completion bash)
_wavesim() {
  local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" flags="" words=""
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "@COMMANDS@" -- "$word"))
    return
  fi
  case "${COMP_WORDS[1]}" in
@CASES@
  esac
  case "$before" in
    @FILES@) COMPREPLY=($(compgen -f -- "$word")); return ;;
    @VALUES@) return ;;
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$word"))
  elif [[ -n $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  elif [[ ${COMP_WORDS[1]} == merge ]]; then
    COMPREPLY=($(compgen -f -- "$word"))
  elif [[ ${COMP_WORDS[1]} == list ]]; then
    COMPREPLY=($(compgen -d -- "$word"))
  elif [[ -n $flags ]]; then
    COMPREPLY=($(compgen -d -- "$word") $(compgen -f -X '!*.y*ml' -- "$word"))
  fi
}
complete -o filenames -F _wavesim wavesim
`

const zshScript = `#compdef wavesim
# wavesim, for zsh: source <(wavesim completion zsh), after compinit
_wavesim() {
  local -a flags known
  if ((CURRENT == 2)); then
    compadd -- @COMMANDS@
    return
  fi
  case "${words[2]}" in
@CASES@
  esac
  case "${words[CURRENT-1]}" in
    @FILES@) _files; return ;;
    @VALUES@) return ;;
  esac
  if [[ ${words[CURRENT]} == -* ]]; then
    compadd -- $flags
  elif ((${#known})); then
    compadd -- $known
  elif [[ ${words[2]} == merge ]]; then
    _files
  elif [[ ${words[2]} == list ]]; then
    _files -/
  elif ((${#flags})); then
    _files -g '*.y(a|)ml'
  fi
}
compdef _wavesim wavesim
`

// fishScript is one line for each command, flag and word.
func fishScript() string {
	var b strings.Builder
	b.WriteString("# wavesim, for fish: wavesim completion fish | source\n")
	fmt.Fprintf(&b, "complete -c wavesim -n __fish_use_subcommand -f -a '%s'\n", joinWords(commands))
	for _, command := range commands {
		seen := fmt.Sprintf("complete -c wavesim -n '__fish_seen_subcommand_from %s'", command)
		for _, f := range flagsOf(command) {
			wants := ""
			switch {
			case slices.Contains(fileFlags, f):
				wants = " -r -F"
			case slices.Contains(valueFlags, f):
				wants = " -x"
			}
			fmt.Fprintf(&b, "%s -o %s%s\n", seen, strings.TrimPrefix(f, "-"), wants)
		}
		if words := wordsOf(command); len(words) > 0 {
			fmt.Fprintf(&b, "%s -f -a '%s'\n", seen, joinWords(words))
		}
	}
	return b.String()
}
