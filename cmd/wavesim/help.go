package main

import (
	"slices"
	"strings"
)

// helpFor is the part of the usage that concerns one command: its line, its examples, its flags and the exit codes. A name
// that has no line of its own gets the whole text.
func helpFor(command string) string {
	var line string
	var examples, flags []string
	for text := range strings.Lines(usage) {
		at := strings.Index(text, "wavesim "+command+" ")
		switch words := strings.Fields(text); {
		case at == len("usage: "):
			line = text[at:]
		case at > 0:
			examples = append(examples, text)
		case strings.HasPrefix(text, "  -") && slices.Contains(flagsOf(command), words[0]):
			flags = append(flags, flagFor(command, text))
		}
	}
	if line == "" {
		return usage
	}
	call, what, _ := strings.Cut(line, "  ")
	help := "usage: " + call + "\n\n" + strings.TrimSpace(what) + "\n"
	if len(examples) > 0 {
		help += "\n" + strings.Join(examples, "")
	}
	if len(flags) > 0 {
		help += "\nflags may stand before or after the files, with one dash or two:\n" + strings.Join(flags, "")
	}
	return help + "\n" + usage[strings.Index(usage, "exit codes:"):] + "\nwavesim -h shows all commands.\n"
}

// flagFor is a flag's line without the names of the commands that it is for.
func flagFor(command, line string) string {
	head, text, ok := strings.Cut(line, ": ")
	names := strings.LastIndex(head, "  ") + 2
	if !ok || !slices.Contains(strings.Split(head[names:], ", "), command) {
		return line
	}
	return head[:names] + text
}
