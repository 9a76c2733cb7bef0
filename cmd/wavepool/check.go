package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/wavepool/wavepool/proxy"
	"github.com/wavepool/wavepool/proxy/config"
)

// checkFlag is -check: alone, with the file behind it, or with "=" between.
type checkFlag struct {
	asked bool
	file  string
}

// String implements flag.Value.
func (c *checkFlag) String() string { return c.file }

// Set implements flag.Value.
func (c *checkFlag) Set(v string) error {
	switch v {
	case "false":
		*c = checkFlag{}
	case "true":
		c.asked = true
	default:
		c.asked, c.file = true, v
	}
	return nil
}

// IsBoolFlag tells package flag that the file may be missing.
func (*checkFlag) IsBoolFlag() bool { return true }

// check looks for what would keep the server from starting, and for what was hardly meant, and starts nothing.
func check(settings *config.Config, what string, stdout, stderr io.Writer) int {
	// Making the server opens nothing, but it reads the files of certificates.
	_, err := proxy.New(proxy.Config{Settings: settings})
	if err == nil {
		err = appendable(settings.AccessLog)
	}
	if err != nil {
		fmt.Fprintf(stderr, "wavepool: %v\n", err)
		return exitUsage
	}
	for _, name := range settings.Unused() {
		fmt.Fprintf(stderr, "wavepool: warning: %s\n", unused(name))
	}
	fmt.Fprintf(stdout, "%s: no mistakes\n", what)
	return exitOK
}

// warnOfUnused tells the log of upstreams that nothing leads to.
func warnOfUnused(settings *config.Config, log *slog.Logger) {
	for _, name := range settings.Unused() {
		log.Warn(unused(name))
	}
}

func unused(name string) string {
	return fmt.Sprintf("upstreams.%s: no listener and no route leads to it, and its backends are checked for nobody", name)
}

// What access(2) is asked.
const (
	mayEnter = 1
	mayWrite = 2
)

// appendable says why the file of the access log could not be opened. It opens, and makes, none.
func appendable(log *config.AccessLog) error {
	if log == nil || log.Path == config.LogStdout {
		return nil
	}
	path, mode := log.Path, uint32(mayWrite)
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir():
		err = &os.PathError{Op: "open", Path: path, Err: syscall.EISDIR}
	case errors.Is(err, os.ErrNotExist): // it will be made
		path, mode = filepath.Dir(path), mayWrite|mayEnter
		fallthrough
	case err == nil:
		if err = syscall.Access(path, mode); err != nil {
			err = &os.PathError{Op: "write to", Path: path, Err: err}
		}
	}
	if err != nil {
		return fmt.Errorf("access_log.path: %w", err)
	}
	return nil
}
