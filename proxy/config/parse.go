package config

import (
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// Load reads the file at path. A file that cannot be read gives the *fs.PathError of the system; a file with mistakes
// gives Errors, which lists all of them.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	// One byte more than is accepted is enough to tell that a file is too large.
	data, err := io.ReadAll(io.LimitReader(f, form.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a configuration from data; name stands for the file in its messages. The error is an Errors and lists
// every mistake. The result has all defaults applied and shares nothing with data.
func Parse(name string, data []byte) (*Config, error) {
	r := form.NewReport(name)
	n := form.Document(r, data)
	if n == nil {
		return nil, r.Err()
	}
	return read(r, n)
}

// ParseNode is Parse for a configuration that stands inside another YAML file. name and the lines of its messages are
// those of that file; the paths begin at n.
func ParseNode(name string, n *yaml.Node) (*Config, error) {
	if n == nil {
		n = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	}
	return read(form.NewReport(name), n)
}

func read(r *form.Report, n *yaml.Node) (*Config, error) {
	c := Default()
	form.Read(r, n, c.form())
	c.settle(r)
	c.check(r)
	if err := r.Err(); err != nil {
		return nil, err
	}
	for i := range c.Listeners {
		c.Listeners[i].routeToUpstream()
	}
	return c, nil
}

// Validate checks a configuration that was built in Go, by the same rules as a file. Fields that are zero are taken as
// their defaults. The error is an Errors whose entries carry a path but no file and no line. It does not change c.
func (c *Config) Validate() error {
	out := c.filled()
	var r form.Report
	out.form().Check(&r, "")
	out.check(&r)
	return r.Err()
}

// Marshal writes the effective settings, every default included, as YAML that Parse reads back to an equal Config. It
// fails only for text that YAML cannot hold, which no valid Config has.
func (c *Config) Marshal() ([]byte, error) {
	return form.Marshal(c.WithDefaults().form())
}
