package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/wavepool/wavepool/proxy/config/form"
)

// Sources are where ${NAME}, ${NAME:-default} and ${file:PATH} in the values of a file come from.
type Sources = form.Sources

// Load reads the file at path. ${NAME} in a value is a variable of the process's environment, and ${file:PATH} a file of at
// most 64 KiB, without the newline at its end. Relative paths in the file, those of ${file:}, of certificates and of the access
// log, begin at the folder of the configuration. A file that cannot be read gives the *fs.PathError of the system; a file with mistakes, such as a variable that is not set, gives
// Errors, which lists all of them.
func Load(path string) (*Config, error) {
	c, err := LoadFrom(path, Sources{Env: os.LookupEnv, File: func(file string) ([]byte, error) {
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		// A pipe or a device may never begin or never end.
		if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
			return nil, errors.New("it is not a regular file")
		}
		return readFile(file, form.MaxFileBytes)
	}})
	if err == nil {
		c.relativeTo(filepath.Dir(path))
	}
	return c, err
}

// relativeTo has the relative paths in the configuration begin at a folder.
func (c *Config) relativeTo(folder string) {
	move := func(file *string) {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(folder, *file)
		}
	}
	for i := range c.Listeners {
		if t := c.Listeners[i].TLS; t != nil {
			move(&t.ClientCA)
			for j := range t.Certificates {
				move(&t.Certificates[j].Cert)
				move(&t.Certificates[j].Key)
			}
		}
	}
	for i := range c.Upstreams {
		if k := c.Upstreams[i].Sticky; k != nil {
			for j := range k.SecretFiles {
				move(&k.SecretFiles[j])
			}
		}
		if t := c.Upstreams[i].TLS; t != nil {
			move(&t.CA)
			move(&t.Certificate.Cert)
			move(&t.Certificate.Key)
		}
		if a := c.Upstreams[i].Health.Active; a != nil && a.TLS != nil {
			move(&a.TLS.CA)
		}
	}
	if c.AccessLog != nil && c.AccessLog.Path != LogStdout {
		move(&c.AccessLog.Path)
	}
}

// LoadFrom is Load with sources of the caller's own.
func LoadFrom(path string, src Sources) (*Config, error) {
	data, err := readFile(path, form.MaxBytes)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return ParseFrom(path, data, src)
}

// readFile reads a byte more than is accepted at most, which is enough to tell that a file is too large.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// Parse reads a configuration from data; name stands for the file in its messages. The error is an Errors and lists
// every mistake. The result has all defaults applied and shares nothing with data. It opens nothing and knows no
// environment: only references with a default mean something to it.
func Parse(name string, data []byte) (*Config, error) { return ParseFrom(name, data, Sources{}) }

// ParseFrom is Parse with sources for the references in the values.
func ParseFrom(name string, data []byte, src Sources) (*Config, error) {
	r := form.NewReport(name)
	n := form.Document(r, data)
	if n == nil {
		return nil, r.Err()
	}
	return read(r, n, src)
}

// ParseNode is ParseFrom for a configuration that stands inside another YAML file. name and the lines of its messages are
// those of that file; the paths begin at n, which is not changed.
func ParseNode(name string, n *yaml.Node, src Sources) (*Config, error) {
	if n == nil {
		n = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	}
	return read(form.NewReport(name), n, src)
}

func read(r *form.Report, n *yaml.Node, src Sources) (*Config, error) {
	c := Default()
	form.Read(r, form.Expand(r, form.Root(n), src), c.form())
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

// Marshal writes the effective settings, every default included and what references stood for in their place, as YAML that
// Parse reads back to an equal Config. It fails only for text that YAML cannot hold, which no valid Config has.
func (c *Config) Marshal() ([]byte, error) {
	return form.Marshal(c.WithDefaults().form())
}
