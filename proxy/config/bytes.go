package config

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// hexPrefix begins bytes that are written as hexadecimal digits.
const hexPrefix = "hex:"

// ParseBytes reads the bytes that a text stands for. It is the text itself, in which \r, \n, \t, \0 and \\ are what they are
// in most languages and \xHH is the byte of two hexadecimal digits; or hex: and hexadecimal digits, two for each byte,
// between which there may be spaces. (In single quotes YAML leaves all of that alone. In double quotes it has escapes
// of its own, of which \xHH is a character, not a byte.) The error says what is wrong, and where.
func ParseBytes(text string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, hexPrefix); ok {
		b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			return nil, fmt.Errorf("behind hex: want hexadecimal digits, two for each byte; got %q", digits)
		}
		return b, nil
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			out = append(out, text[i])
			continue
		}
		b, n := escaped(text[i+1:])
		if n == 0 {
			return nil, fmt.Errorf("holds an unknown escape at offset %d; known are \\r, \\n, \\t, \\0, \\\\ and \\xHH", i)
		}
		out = append(out, b)
		i += n
	}
	return out, nil
}

// escaped reads what stands behind a backslash, and how long that is: 0 when it is no escape.
func escaped(rest string) (b byte, n int) {
	if rest == "" {
		return 0, 0
	}
	switch rest[0] {
	case 'r':
		return '\r', 1
	case 'n':
		return '\n', 1
	case 't':
		return '\t', 1
	case '0':
		return 0, 1
	case '\\':
		return '\\', 1
	case 'x':
		if len(rest) >= 3 {
			if two, err := hex.DecodeString(rest[1:3]); err == nil {
				return two[0], 3
			}
		}
	}
	return 0, 0
}
