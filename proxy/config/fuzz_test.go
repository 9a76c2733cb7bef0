package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever the bytes: no panic; either a Config that is valid and survives being written and read again, or a list of
// mistakes whose lines lie within the file.
func FuzzParse(f *testing.F) {
	for _, glob := range []string{"testdata/bad/*.yaml", "../../testdata/configs/*.yaml"} {
		files, err := filepath.Glob(glob)
		require.NoError(f, err)
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(f, err)
			f.Add(data)
		}
	}
	f.Add([]byte("listeners: [{address: \":${P:-80}\", upstream: web}]\nupstreams: {web: {backends: [{address: \"${H:-a}:1\"}], " +
		"health: {active: {http: {path: \"/$${x}\"}}}}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yaml", data)
		if err != nil {
			var list Errors
			require.True(t, errors.As(err, &list), "%T", err)
			require.NotEmpty(t, list)
			// Carriage returns and the Unicode line breaks of YAML 1.1 end a line too, so every one may add a line.
			lines := len(data) + 1
			for _, e := range list {
				require.True(t, e.Line >= 0 && e.Line <= lines, "line %d of %d", e.Line, lines)
				require.NotEmpty(t, strings.TrimSpace(e.Msg))
			}
			return
		}
		require.NoError(t, c.Validate())
		require.Equal(t, c, c.WithDefaults())
		text, err := c.Marshal()
		require.NoError(t, err)
		back, err := Parse("again.yaml", text)
		require.NoError(t, err, "%s", text)
		require.Equal(t, c, back)
	})
}
