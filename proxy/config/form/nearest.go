package form

import "strings"

// Nearest returns the word of words that a person most likely meant by writing word, or "" when none is near. Case,
// hyphens and underscores do not count; one slip is forgiven for every three letters begun, and a beginning of three letters
// or more is enough when only one word begins so. Among equals the first in the list wins.
func Nearest(word string, words []string) string {
	w := fold(word)
	if w == "" || len(w) > 64 {
		return ""
	}
	best, bestCost := "", (len(w)+2)/3+1
	prefixed, prefixes := "", 0
	for _, candidate := range words {
		c := fold(candidate)
		if len(c) > 64 {
			continue
		}
		if cost := distance(w, c); cost < bestCost && cost < len(c) {
			best, bestCost = candidate, cost
		}
		if len(w) >= 3 && strings.HasPrefix(c, w) {
			prefixed = candidate
			prefixes++
		}
	}
	if prefixes == 1 && bestCost > 0 {
		return prefixed
	}
	return best
}

func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// distance counts the slips between a and b: a letter too many, missing, wrong, or two neighbours swapped. It is the
// optimal string alignment distance, kept in three rows of the usual table.
func distance(a, b string) int {
	two, one, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			wrong := 1
			if a[i-1] == b[j-1] {
				wrong = 0
			}
			row[j] = min(row[j-1]+1, one[j]+1, one[j-1]+wrong)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, one, row = one, row, two
	}
	return one[len(b)]
}
