package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bubbles run in a child process, which is this program again. A deadlock, a panic of any goroutine or a run
// that is stuck leaves a bubble that nothing can end; as a process of its own it ends, and the parent makes a
// verdict of it.
//
// The parent writes one job to the child's standard input and reads its answers from file descriptor 3: one, or one for
// each of the job's seeds.
// Whatever the child says on standard error is shown only when it broke off.

// childArg as the first argument makes the program a child. Nobody else would write it.
const childArg = "-wavesim-child"

// childFD is where a child puts its answer.
const childFD = 3

// job is what a child has to do.
type job struct {
	File   string   `json:"file"`
	Data   []byte   `json:"data,omitempty"` // the scenario itself, in place of what the file holds
	Seed   *uint64  `json:"seed,omitempty"`
	Seeds  []uint64 `json:"seeds,omitempty"` // run it with each of them, instead of Seed
	Config string   `json:"config,omitempty"`
	Check  bool     `json:"check,omitempty"`
	Trace  string   `json:"trace,omitempty"`
	Report string   `json:"report,omitempty"`
	Plot   int      `json:"plot,omitempty"` // the width of the plot behind the text; 0: none
}

// answer is what it has done. Usage is set when the scenario could not be run at all for mistakes in the files.
type answer struct {
	Verdict json.RawMessage `json:"verdict,omitempty"`
	Text    string          `json:"text,omitempty"`
	OK      bool            `json:"ok"`
	Usage   string          `json:"usage,omitempty"`
	Result  *result         `json:"result,omitempty"`
}

func isChild(args []string) bool { return len(args) == 2 && args[1] == childArg }

// childMain is the child's life. The arguments are taken away first: nothing below may take them for its own.
func childMain(do func(job) answer) (status int) {
	os.Args = os.Args[:1]
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(os.Stderr, "wavesim: panic: %v\n", r)
			status = exitFailed
		}
	}()
	out := os.NewFile(childFD, "answer")
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		fmt.Fprintf(os.Stderr, "wavesim: job: %v\n", err)
		return exitFailed
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	jobs := []job{j}
	if len(j.Seeds) > 0 {
		jobs = jobs[:0]
		for _, seed := range j.Seeds {
			one := j
			one.Seeds, one.Seed = nil, &seed
			jobs = append(jobs, one)
		}
	}
	for _, one := range jobs {
		if err := enc.Encode(do(one)); err != nil {
			fmt.Fprintf(os.Stderr, "wavesim: answer: %v\n", err)
			return exitFailed
		}
	}
	return exitOK
}

// brokeOff is a run without a verdict: how it ended, and the last that it said.
type brokeOff struct {
	how  string
	tail string
}

func (e *brokeOff) Error() string {
	if e.tail == "" {
		return e.how
	}
	return e.how + "; its last words:\n" + e.tail
}

// spawn runs one job in a child and returns its answer; every way of not answering is a *brokeOff. The
// environment is added to the child's own.
func spawn(j job, limit time.Duration, env ...string) (*answer, error) {
	var a *answer
	err := spawnEach(j, limit, func(got *answer) { a = got }, env...)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// spawnEach runs one job in a child and gives each as many answers as the job has seeds, in their order, or one. The limit
// is for each answer. When the child breaks off there are fewer, and the error is a *brokeOff.
func spawnEach(j job, limit time.Duration, each func(*answer), env ...string) error {
	exe, err := os.Executable()
	if err != nil {
		return &brokeOff{how: fmt.Sprintf("the program cannot find itself: %v", err)}
	}
	input, err := json.Marshal(j)
	if err != nil {
		return &brokeOff{how: err.Error()}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return &brokeOff{how: err.Error()}
	}
	defer r.Close()
	said := &tail{}
	cmd := exec.Command(exe, childArg)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), said, said
	cmd.ExtraFiles = []*os.File{w}
	cmd.WaitDelay = time.Second
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return &brokeOff{how: err.Error()}
	}
	var late atomic.Bool
	timer := time.AfterFunc(limit, func() {
		late.Store(true)
		_ = cmd.Process.Kill()
	})
	readErr := readAnswers(r, max(len(j.Seeds), 1), func(a *answer) {
		timer.Reset(limit)
		each(a)
	})
	if readErr != nil && !errors.Is(readErr, io.ErrUnexpectedEOF) {
		_ = cmd.Process.Kill() // what it says cannot be read: there is nothing to wait for
	}
	waitErr := cmd.Wait()
	timer.Stop()
	switch {
	case late.Load():
		return &brokeOff{fmt.Sprintf("no verdict within %v of wall-clock time (-limit)", limit), said.String()}
	case waitErr != nil && (readErr == nil || errors.Is(readErr, io.ErrUnexpectedEOF)):
		return &brokeOff{ending(waitErr), said.String()}
	case readErr == nil:
		return nil
	}
	return &brokeOff{fmt.Sprintf("the verdict cannot be read: %v", readErr), said.String()}
}

// readAnswers reads that many answers.
func readAnswers(r io.Reader, n int, each func(*answer)) error {
	dec := json.NewDecoder(r)
	for range n {
		var a answer
		if err := dec.Decode(&a); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		each(&a)
	}
	return nil
}

// exitStuck is the status with which netsim's watchdog ends a process.
const exitStuck = 3

// ending says how a child ended that gave no verdict.
func ending(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitStuck {
		return "stuck: the run made no progress any more"
	}
	return fmt.Sprintf("the run crashed (%v)", err)
}

const (
	tailBytes = 256 << 10 // most of what is kept of the end; of the beginning it is half of that
	tailLines = 30        // shown of it, half from its beginning
)

// tail keeps the beginning and the end of what is written to it.
type tail struct {
	mu         sync.Mutex
	first, end []byte
	lost       bool
}

// Write implements io.Writer and never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if room := tailBytes/2 - len(t.first); room > 0 {
		k := min(room, len(p))
		t.first, p = append(t.first, p[:k]...), p[k:]
	}
	t.end = append(t.end, p...)
	// It is cut only when it is twice as long as it may be, so that a child that cries on and on is not copied each time.
	if len(t.end) > tailBytes {
		kept := copy(t.end, t.end[len(t.end)-tailBytes/2:])
		t.end, t.lost = t.end[:kept], true
	}
	return n, nil
}

// String gives the first lines, which say what happened, and the last ones.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.first) + string(t.end))
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	if len(lines) > tailLines {
		left := fmt.Sprintf("... %d lines left out ...", len(lines)-tailLines)
		if t.lost {
			left = "... many lines left out ..."
		}
		head, foot := lines[:tailLines/2], lines[len(lines)-tailLines/2:]
		lines = append(append(append([]string{}, head...), left), foot...)
	}
	return "  " + strings.Join(lines, "\n  ")
}
