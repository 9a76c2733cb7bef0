package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// completion prints a script that teaches a shell the commands and flags.
func completion(args []string, stdout io.Writer) error {
	if len(args) == 1 {
		switch args[0] {
		case "-h", "-help", "--help":
			return errHelp
		case "bash":
			fmt.Fprintf(stdout, bashScript, strings.Join(commands, " "), strings.Join(allFlags, " "))
			return nil
		case "zsh":
			fmt.Fprintf(stdout, "autoload -Uz bashcompinit && bashcompinit\n"+bashScript, strings.Join(commands, " "), strings.Join(allFlags, " "))
			return nil
		case "fish":
			fmt.Fprintf(stdout, "complete -c wavesim -n __fish_use_subcommand -f -a '%s'\n", strings.Join(commands, " "))
			for _, f := range allFlags {
				fmt.Fprintf(stdout, "complete -c wavesim -o %s\n", strings.TrimPrefix(f, "-"))
			}
			return nil
		}
	}
	return errors.New("completion needs the name of the shell: bash, zsh or fish, as in: source <(wavesim completion bash)")
}

// allFlags are the flags of all commands.
var allFlags = []string{"-seed", "-seeds", "-config", "-check", "-trace", "-report", "-json", "-out", "-shard", "-parallel", "-limit"}

const bashScript = `_wavesim() {
  local word="${COMP_WORDS[COMP_CWORD]}"
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "%s" -- "$word"))
  elif [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "%s" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}
complete -o filenames -F _wavesim wavesim
`
