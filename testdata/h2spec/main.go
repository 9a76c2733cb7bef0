// Command h2spec runs h2spec (github.com/summerwind/h2spec, strict) against wavepool and against net/http's own server beside
// it, both in clear text and over TLS, and compares: a case that wavepool fails and net/http passes is a fault of ours, and
// ends it with 1. Its module stands alone; `make h2spec` runs it, with the program that H2SPEC names or one that it builds.
package main

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Its module has no name of a second version, so the go command cannot install it: it is cloned.
const (
	origin  = "https://github.com/summerwind/h2spec"
	version = "v2.6.0"
)

func main() {
	dir, err := os.MkdirTemp("", "h2spec")
	if err == nil {
		err = run(dir)
		_ = os.RemoveAll(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// command runs a program to its end, and shows what it says only when it fails.
func command(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

func run(dir string) error {
	program, err := h2spec(dir)
	if err != nil {
		return err
	}
	if err := command("../..", "go", "build", "-o", filepath.Join(dir, "wavepool"), "./cmd/wavepool"); err != nil {
		return err
	}
	if err := makeCertificate(filepath.Join(dir, "site.pem")); err != nil {
		return err
	}
	theirs, err := serve(dir)
	if err != nil {
		return err
	}
	ours, stop, err := start(dir, theirs[0])
	if err != nil {
		return err
	}
	defer stop()
	bad := 0
	for i, kind := range []string{"clear text", "TLS"} {
		reference, err := specify(program, dir, theirs[i], kind == "TLS")
		if err != nil {
			return fmt.Errorf("net/http, %s: %w", kind, err)
		}
		got, err := specify(program, dir, ours[i], kind == "TLS")
		if err != nil {
			return fmt.Errorf("wavepool, %s: %w", kind, err)
		}
		fmt.Printf("%s: %d cases; net/http's own server fails %d, wavepool %d\n", kind, got.cases, len(reference.failed), len(got.failed))
		for _, name := range got.failed {
			word := "as net/http does"
			if !slices.Contains(reference.failed, name) {
				word = "WAVEPOOL ALONE"
				bad++
			}
			fmt.Printf("  %-16s %s\n", word, name)
		}
		for _, name := range reference.failed {
			if !slices.Contains(got.failed, name) {
				fmt.Printf("  %-16s %s\n", "net/http alone", name)
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d cases fail that net/http's own server passes", bad)
	}
	return nil
}

// h2spec finds the program that H2SPEC names, or builds it.
func h2spec(dir string) (string, error) {
	if program := os.Getenv("H2SPEC"); program != "" {
		return filepath.Abs(program)
	}
	source, program := filepath.Join(dir, "source"), filepath.Join(dir, "h2spec")
	if err := command(dir, "git", "clone", "-q", "-c", "advice.detachedHead=false", "--depth", "1", "--branch", version, origin, source); err != nil {
		return "", err
	}
	return program, command(source, "go", "build", "-o", program, "./cmd/h2spec")
}

// serve starts net/http's own server, in clear text and over TLS. It is wavepool's backend too.
func serve(dir string) (addresses [2]string, err error) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strings.Repeat("an answer ", 10))
	})
	for i := range addresses {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return addresses, err
		}
		addresses[i] = ln.Addr().String()
		protocols := new(http.Protocols)
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(true)
		srv := &http.Server{Handler: answer, Protocols: protocols, ErrorLog: log.New(io.Discard, "", 0)}
		pem := filepath.Join(dir, "site.pem")
		go func() {
			if i == 0 {
				_ = srv.Serve(ln)
			} else {
				_ = srv.ServeTLS(ln, pem, pem)
			}
		}()
	}
	return addresses, nil
}

// start starts wavepool before a backend.
func start(dir, backend string) (addresses [2]string, stop func(), err error) {
	file := filepath.Join(dir, "wavepool.yaml")
	text := fmt.Sprintf(`
listeners:
  - {address: "127.0.0.1:0", upstream: web}
  - {address: "127.0.0.1:0", upstream: web, tls: {certificates: [{cert: site.pem}]}}
upstreams: {web: {backends: [{address: %q}]}}
admin: {address: off}
`, backend)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return addresses, nil, err
	}
	cmd := exec.CommandContext(context.Background(), filepath.Join(dir, "wavepool"), "-config", file)
	out, err := cmd.StderrPipe()
	if err != nil {
		return addresses, nil, err
	}
	if err := cmd.Start(); err != nil {
		return addresses, nil, err
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	lines := bufio.NewScanner(out)
	n := 0
	for n < len(addresses) && lines.Scan() {
		if _, after, found := strings.Cut(lines.Text(), "msg=listening address="); found {
			addresses[n], _, _ = strings.Cut(after, " ")
			n++
		}
	}
	if n < len(addresses) {
		stop()
		return addresses, nil, errors.New("wavepool does not say where it listens")
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return addresses, stop, nil
}

// result is what h2spec has found.
type result struct {
	cases  int
	failed []string
}

func specify(program, dir, address string, secure bool) (result, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return result{}, err
	}
	report := filepath.Join(dir, "report.xml")
	_ = os.Remove(report)
	args := []string{"-h", host, "-p", port, "--strict", "-o", "3", "-j", report}
	if secure {
		args = append(args, "-t", "-k")
	}
	said := command(dir, program, args...) // an error where a case fails
	text, err := os.ReadFile(report)
	if err != nil {
		return result{}, errors.Join(said, err)
	}
	return parse(text)
}

func parse(text []byte) (out result, err error) {
	var doc struct {
		Suites []struct {
			Package string `xml:"package,attr"`
			Cases   []struct {
				Class   string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &doc); err != nil {
		return out, err
	}
	for _, s := range doc.Suites {
		for _, c := range s.Cases {
			out.cases++
			if c.Failure != nil || c.Error != nil {
				out.failed = append(out.failed, s.Package+" "+c.Class)
			}
		}
	}
	if out.cases == 0 {
		return out, errors.New("h2spec has run no case")
	}
	return out, nil
}
