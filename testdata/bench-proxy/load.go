package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	wrkTotal  = regexp.MustCompile(`(\d+) requests in ([0-9.]+)(us|ms|s|m), ([0-9.]+)(B|KB|MB|GB|TB) read`)
	wrkRate   = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkShare  = regexp.MustCompile(`(50|99)%\s+([0-9.]+)(us|ms|s|m)`)
	wrkErrors = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)|Non-2xx or 3xx responses: (\d+)`)
)

var sizes = map[string]float64{"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}

// micros is a number with wrk's unit in microseconds.
func micros(number, unit string) float64 {
	v, _ := strconv.ParseFloat(number, 64)
	return v * map[string]float64{"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}[unit]
}

// wrk loads the port and reads what wrk says: requests done and bytes read in all besides the result.
func wrk(ctx context.Context, w workload, port int, d time.Duration) (r result, n int64, size float64, err error) {
	args := []string{"-t1", fmt.Sprintf("-c%d", w.conns), "-d" + wrkDuration(d), "--latency", "--timeout", "10s"}
	if w.close {
		args = append(args, "-H", "Connection: close")
	}
	scheme := "http"
	if w.mode == secure {
		scheme = "https"
	}
	program, err := lookup("wrk")
	if err != nil {
		return r, 0, 0, err
	}
	// wrk knows whole seconds only: what is shorter is ended from outside, with the report.
	cmd := exec.Command(program, append(args, fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, port, w.path))...)
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		return r, 0, 0, err
	}
	stop := time.AfterFunc(d, func() { _ = cmd.Process.Signal(os.Interrupt) })
	defer stop.Stop()
	defer context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })()
	if err := cmd.Wait(); err != nil {
		return r, 0, 0, fmt.Errorf("wrk: %w\n%s", err, text.String())
	}
	return readWrk(text.String())
}

// readWrk reads wrk's report.
func readWrk(text string) (r result, n int64, size float64, err error) {
	total := wrkTotal.FindStringSubmatch(text)
	rate := wrkRate.FindStringSubmatch(text)
	if total == nil || rate == nil || total[1] == "0" {
		return r, 0, 0, fmt.Errorf("wrk says:\n%s", text)
	}
	n, _ = strconv.ParseInt(total[1], 10, 64)
	read, _ := strconv.ParseFloat(total[4], 64)
	r.rate, _ = strconv.ParseFloat(rate[1], 64)
	for _, m := range wrkShare.FindAllStringSubmatch(text, -1) {
		if m[1] == "50" {
			r.p50 = micros(m[2], m[3])
		} else {
			r.p99 = micros(m[2], m[3])
		}
	}
	for _, m := range wrkErrors.FindAllStringSubmatch(text, -1) {
		for _, number := range m[1:] {
			k, _ := strconv.Atoi(number)
			r.errorCount += k
		}
	}
	return r, n, read * sizes[total[5]], nil
}

func wrkDuration(d time.Duration) string { return strconv.Itoa(int(d/time.Second)+1) + "s" }

// cpuTime is the processor time that a process, with those that it has started, has used so far.
func cpuTime(pid int) time.Duration {
	var sum time.Duration
	for _, one := range family(pid) {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", one))
		for _, t := range tasks {
			text, err := os.ReadFile(t)
			if err != nil {
				continue
			}
			first, _, _ := strings.Cut(string(text), " ")
			ns, _ := strconv.ParseInt(first, 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// family is a process and those that it has started.
func family(pid int) []int {
	if pid == 0 {
		return nil
	}
	all := []int{pid}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for f := range strings.FieldsSeq(string(text)) {
		if child, err := strconv.Atoi(f); err == nil {
			all = append(all, family(child)...)
		}
	}
	return all
}

// memory is the resident memory of a process and those that it has started, in bytes.
func memory(pid int) (sum float64) {
	for _, one := range family(pid) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", one))
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				sum += kib * 1024
			}
		}
	}
	return sum
}

// talker is one client connection.
type talker struct {
	nc net.Conn
	br *bufio.Reader
}

func dial(port int) (*talker, error) {
	nc, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &talker{nc: nc, br: bufio.NewReaderSize(nc, 1<<10)}, nil
}

// get asks once and reads the whole answer.
func (t *talker) get(path string) error {
	if err := t.nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(t.nc, "GET "+path+" HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
		return err
	}
	length := 0
	for first := true; ; first = false {
		line, err := t.br.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if first && !strings.Contains(text, " 200") {
			return fmt.Errorf("the answer is %q", text)
		}
		if name, value, ok := strings.Cut(text, ":"); ok && strings.EqualFold(name, "Content-Length") {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
		if text == "" {
			break
		}
	}
	_, err := t.br.Discard(length)
	return err
}

// evenRate asks at an even rate, whatever the answers do, and counts each latency from the instant at which its request
// was due.
func evenRate(ctx context.Context, port int, path string, rate int, d time.Duration) (result, error) {
	const callers = 20
	var (
		mu   sync.Mutex
		took []float64
		errs []error
		wg   sync.WaitGroup
	)
	start := time.Now().Add(20 * time.Millisecond)
	gap := time.Second / time.Duration(rate)
	for i := range callers {
		wg.Go(func() {
			t, err := dial(port)
			if err == nil {
				defer t.nc.Close()
			}
			for k := i; err == nil && ctx.Err() == nil; k += callers {
				due := start.Add(time.Duration(k) * gap)
				if due.Sub(start) >= d {
					return
				}
				time.Sleep(time.Until(due))
				if err = t.get(path); err == nil {
					mu.Lock()
					took = append(took, float64(time.Since(due).Nanoseconds())/1000)
					mu.Unlock()
				}
			}
			if err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 || len(took) == 0 {
		return result{}, errors.Join(errs...)
	}
	slices.Sort(took)
	return result{rate: float64(len(took)) / d.Seconds(), p50: took[len(took)/2], p99: took[len(took)*99/100]}, nil
}

// idlePace is how many idle connections are opened each second: clients come one by one, and not all at once.
const idlePace = 2000

// idleConnections opens connections, asks once on each, and sees what the proxy's memory has grown by.
func idleConnections(ctx context.Context, pid, port int, path string, n int) (result, error) {
	var all []net.Conn
	defer func() {
		for _, nc := range all {
			nc.Close()
		}
	}()
	before, begin := memory(pid), time.Now()
	for i := range n {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / idlePace)))
		t, err := dial(port)
		if err != nil {
			return result{}, fmt.Errorf("after %d connections: %w", len(all), err)
		}
		all = append(all, t.nc)
		if err := t.get(path); err != nil {
			return result{}, fmt.Errorf("after %d connections: %w", len(all), err)
		}
		if ctx.Err() != nil {
			return result{}, ctx.Err()
		}
	}
	time.Sleep(12 * time.Second) // wavepool tidies up every five, when it is calm
	return result{bytes: (memory(pid) - before) / float64(n)}, nil
}
