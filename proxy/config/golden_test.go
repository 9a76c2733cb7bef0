package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write what the code does now into testdata/bad/*.want")

// Each file of testdata/bad holds mistakes; the .want beside it holds the exact text that a person gets to read.
func TestEveryMistakeOfABadFileIsNamedWithItsLine(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			cfg, err := Parse(filepath.Base(file), data)
			require.Error(t, err)
			require.Nil(t, cfg)

			var list Errors
			require.True(t, errors.As(err, &list))
			lines := strings.Count(string(data), "\n") + 1
			for i, e := range list {
				require.NotEmpty(t, e.Msg)
				require.True(t, e.Line >= 1 && e.Line <= lines, "no line in %q", e)
				require.True(t, i == 0 || list[i-1].Line <= e.Line, "not in line order: %q", e)
			}

			want := strings.TrimSuffix(file, ".yaml") + ".want"
			if *rewrite {
				require.NoError(t, os.WriteFile(want, []byte(err.Error()+"\n"), 0o644))
			}
			text, readErr := os.ReadFile(want)
			require.NoError(t, readErr, "run the test with -rewrite and review the new file")
			require.Equal(t, string(text), err.Error()+"\n")
		})
	}
}

// The samples that users copy are a promise: every one of them is valid, and says what its comments say.
func TestEverySampleConfigurationLoads(t *testing.T) {
	files, err := filepath.Glob("../../testdata/configs/*.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 2)
	for _, file := range files {
		cfg, err := Load(file)
		require.NoError(t, err)
		require.NoError(t, cfg.Validate())
	}
}

// three-backends.yaml says that each value is the default unless its comment says otherwise; the three that do are
// undone here, and nothing else may differ.
func TestTheCommentedSampleShowsTheDefaults(t *testing.T) {
	cfg, err := Load("../../testdata/configs/three-backends.yaml")
	require.NoError(t, err)
	web := &cfg.Upstreams[0]
	require.Equal(t, 2, web.Pool.MinIdle)
	require.Equal(t, &HTTPCheck{Method: "GET", Path: "/healthz", Status: StatusRange{200, 399}}, web.Health.Active.HTTP)
	web.Pool.MinIdle = 0
	web.Health.Active.HTTP = nil

	want := Default()
	want.Listeners = []Listener{DefaultListener(":8080")}
	want.Listeners[0].Routes = []Route{{Match: Match{PathPrefix: "/"}, Upstream: "web", Priority: PriorityNormal}}
	want.Upstreams = []Upstream{DefaultUpstream("web", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")}
	require.Equal(t, want, cfg)
}

// A key that the table knows and the sample does not show would stay unknown to its users.
func TestTheCommentedSampleShowsEveryKey(t *testing.T) {
	data, err := os.ReadFile("../../testdata/configs/three-backends.yaml")
	require.NoError(t, err)
	cfg := full()
	out, err := cfg.Marshal()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		key, _, isKey := strings.Cut(strings.TrimLeft(line, " -"), ":")
		if isKey && key != "web" {
			require.Contains(t, string(data), key+":", "the sample does not show the key")
		}
	}
}
