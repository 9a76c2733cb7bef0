package accesslog

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wavepool/wavepool/netsim"
)

// file is a file in memory. A write takes as long as stall says, and fails with err after the first short bytes.
type file struct {
	mu     sync.Mutex
	text   strings.Builder
	writes int
	closed int
	err    error
	short  int
	stall  func()
}

func (f *file) Write(p []byte) (int, error) {
	if f.stall != nil {
		f.stall()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	switch {
	case f.closed > 0:
		return 0, os.ErrClosed
	case f.err != nil:
		n := min(f.short, len(p))
		f.text.Write(p[:n])
		return n, f.err
	}
	return f.text.Write(p)
}

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

// fail lets writes fail from now on, or end well with nil.
func (f *file) fail(err error, short int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.short = err, short
}

func (f *file) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String()
}

// open makes a Log of one field over files that are opened one after the other.
func open(t require.TestingT, s *netsim.Sim, cfg Config, files ...*file) *Log {
	n := 0
	cfg.Clock, cfg.Text, cfg.Fields = s.Clock(), true, []Field{Path}
	cfg.Open = func() (io.WriteCloser, error) {
		if n == len(files) {
			return nil, syscall.EMFILE
		}
		n++
		return files[n-1], nil
	}
	l, err := New(cfg)
	require.NoError(t, err)
	return l
}

func (l *Log) say(path string) bool { return l.Write(&Entry{Path: []byte(path)}) }

func inBubble(t *testing.T, body func(t *testing.T, s *netsim.Sim)) {
	netsim.Test(t, netsim.Config{Seed: 1}, func(s *netsim.Sim) { body(t, s) })
}

func TestALineIsWrittenWithinASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, s *netsim.Sim) {
		f := &file{}
		l := open(t, s, Config{}, f)
		defer l.Close()
		require.True(t, l.say("/1"))
		s.Clock().Sleep(900 * time.Millisecond)
		require.True(t, l.say("/2"))
		require.Empty(t, f.String(), "lines gather")
		s.Clock().Sleep(150 * time.Millisecond)
		require.Equal(t, "path=/1\npath=/2\n", f.String())
		require.Equal(t, 1, f.writes)
		s.Clock().Sleep(time.Hour)
		l.say("/3")
		s.Clock().Sleep(flushEvery + time.Millisecond)
		require.Equal(t, "path=/1\npath=/2\npath=/3\n", f.String())
		require.Equal(t, Stats{Written: 3}, l.Stats())
	})
}

func TestABufferThatFillsIsWrittenAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, s *netsim.Sim) {
		f := &file{}
		l := open(t, s, Config{}, f)
		defer l.Close()
		line := strings.Repeat("a", 1000)
		n := 0
		for ; n*(len("path=\n")+len(line)) < flushAt; n++ {
			s.Clock().Sleep(time.Microsecond)
			require.Empty(t, f.String(), "just under the threshold it waits")
			l.say(line)
		}
		s.Clock().Sleep(time.Microsecond)
		require.Equal(t, n, strings.Count(f.String(), "\n"))
	})
}

func TestCloseWritesWhatWaitsAndTakesNothingMore(t *testing.T) {
	inBubble(t, func(t *testing.T, s *netsim.Sim) {
		f := &file{}
		l := open(t, s, Config{}, f)
		l.say("/1")
		begin := s.Clock().Now()
		l.Close()
		require.Less(t, s.Clock().Since(begin), time.Millisecond)
		require.Equal(t, "path=/1\n", f.String())
		require.Equal(t, 1, f.closed)
		require.False(t, l.say("/2"), "whoever writes after it is told")
		l.Close()
		s.Clock().Sleep(time.Minute)
		require.Equal(t, "path=/1\n", f.String())
		require.Equal(t, 1, f.closed)
		require.Equal(t, Stats{Written: 1}, l.Stats())
	})
}

// A disk that hangs costs lines, and nobody's time.
func TestWhatFindsNoRoomIsDroppedAndCountedAndNobodyWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, s *netsim.Sim) {
		f := &file{stall: func() { s.Clock().Sleep(time.Minute) }}
		l := open(t, s, Config{Buffer: minBuffer}, f)
		line := strings.Repeat("a", 1018) // 1024 with its name and its end
		begin := s.Clock().Now()
		for range 64 { // just the size of the buffer
			require.True(t, l.say(line))
		}
		s.Clock().Sleep(time.Second) // a write has begun, which gives room for as many again
		for range 64 {
			require.True(t, l.say(line))
		}
		require.Zero(t, l.Stats().Dropped)
		for range 10 { // just over
			require.True(t, l.say("/"))
		}
		require.EqualValues(t, 10, l.Stats().Dropped)
		require.Less(t, s.Clock().Since(begin), 2*time.Second)
		s.Clock().Sleep(3 * time.Minute)
		require.Equal(t, Stats{Written: 128, Dropped: 10}, l.Stats())
		require.True(t, l.say("/"), "and it goes on")
		s.Clock().Sleep(2 * time.Minute)
		require.EqualValues(t, 129, l.Stats().Written)
		l.Close()
	})
}

func TestCloseDoesNotWaitForeverForAFileThatTakesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, s *netsim.Sim) {
		f := &file{stall: func() { s.Clock().Sleep(time.Hour) }}
		l := open(t, s, Config{}, f)
		l.say("/")
		begin := s.Clock().Now()
		l.Close()
		require.InDelta(t, closeWait, s.Clock().Since(begin), float64(time.Millisecond))
		s.Clock().Sleep(3 * time.Hour) // the write ends when the file lets it
		require.Equal(t, Stats{Dropped: 1, Errors: 1}, l.Stats())
	})
}

func TestRotationLosesNoLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SliceOfN(rapid.SampledFrom([]string{"line", "line", "line", "reopen", "wait", "slow"}), 1, 60).Draw(t, "steps")
		rapid.SyncTest(t, func(t *rapid.T) { rotate(t, steps) })
	})
}

func rotate(t *rapid.T, steps []string) {
	s := netsim.New(netsim.Config{Seed: 1})
	defer s.Close()
	var files []*file
	for range 61 {
		files = append(files, &file{stall: func() { s.Clock().Sleep(10 * time.Millisecond) }})
	}
	l := open(t, s, Config{}, files...)
	n, opened := 0, 1
	for _, step := range steps {
		switch step {
		case "line":
			n++
			require.True(t, l.say(fmt.Sprintf("/%d", n)))
		case "reopen":
			opened++
			require.NoError(t, l.Reopen())
		case "wait":
			s.Clock().Sleep(flushEvery + 5*time.Millisecond) // a write is under way
		case "slow":
			s.Clock().Sleep(flushEvery + 20*time.Millisecond)
		}
	}
	l.Close()
	var all, want strings.Builder
	for i, f := range files[:opened] {
		all.WriteString(f.String())
		require.Equal(t, 1, f.closed, "file %d of %d", i, opened)
	}
	for i := range n {
		fmt.Fprintf(&want, "path=/%d\n", i+1)
	}
	require.Equal(t, want.String(), all.String())
	require.Equal(t, Stats{Written: uint64(n)}, l.Stats())
}

func TestAFileThatCannotBeOpenedAgainLeavesTheOldOne(t *testing.T) {
	inBubble(t, func(t *testing.T, s *netsim.Sim) {
		f := &file{}
		l := open(t, s, Config{}, f)
		require.ErrorIs(t, l.Reopen(), syscall.EMFILE)
		l.say("/1")
		l.Close()
		require.Equal(t, "path=/1\n", f.String())
	})
	_, err := New(Config{Open: func() (io.WriteCloser, error) { return nil, syscall.EACCES }})
	require.ErrorIs(t, err, syscall.EACCES)
	_, err = New(Config{})
	require.ErrorContains(t, err, "Open is nil")
	_, err = New(Config{Open: func() (io.WriteCloser, error) { return &file{}, nil }, Buffer: minBuffer - 1})
	require.ErrorContains(t, err, "65535 bytes is too small")
}

func TestATornLineEndsBeforeTheNextBegins(t *testing.T) {
	inBubble(t, func(t *testing.T, s *netsim.Sim) {
		told := make(chan error, 9)
		f := &file{}
		f.fail(syscall.ENOSPC, len("path=/1\npat"))
		l := open(t, s, Config{Failed: func(err error) { told <- err }}, f)
		defer l.Close()
		wait := func() { s.Clock().Sleep(flushEvery + time.Millisecond) }
		l.say("/1")
		l.say("/2")
		l.say("/3")
		wait()
		require.Equal(t, Stats{Written: 1, Dropped: 2, Errors: 1}, l.Stats())
		f.fail(syscall.ENOSPC, 0)
		l.say("/4")
		wait()
		require.Len(t, told, 1, "the owner is told when it begins to fail")
		require.Equal(t, syscall.ENOSPC, <-told)
		f.fail(nil, 0)
		l.say("/5")
		wait()
		require.Equal(t, "path=/1\npat\npath=/5\n", f.String())
		require.Equal(t, Stats{Written: 2, Dropped: 3, Errors: 2}, l.Stats())
		f.fail(syscall.EIO, 0)
		l.say("/6")
		wait()
		require.Equal(t, syscall.EIO, <-told, "and when it does so again")
	})
}

func TestAWrittenLineAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "a.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	for _, text := range []bool{false, true} {
		l, err := New(Config{Open: func() (io.WriteCloser, error) { return f, nil }, Text: text})
		require.NoError(t, err)
		e := full()
		write := func() {
			if !l.Write(e) {
				panic("closed")
			}
		}
		for range 20_000 { // both buffers have grown
			write()
		}
		// A flush costs a few objects, and one follows about a hundred lines.
		require.Less(t, testing.AllocsPerRun(5000, write), 0.2)
		l.mu.Lock()
		l.writing = true // nothing is flushed: what is left is the line
		l.buf, l.lines = l.buf[:0], 0
		l.mu.Unlock()
		require.Zero(t, testing.AllocsPerRun(100, write))
		l.mu.Lock()
		l.writing = false
		l.mu.Unlock()
		if text {
			l.Close()
		} else {
			l.flush()
		}
	}
}

func TestManyWritersLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	l, err := New(Config{Text: true, Fields: []Field{Path}, Buffer: 16 << 20, Open: func() (io.WriteCloser, error) {
		return os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	}})
	require.NoError(t, err)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 2000 {
				if i == 1000 && w == 0 {
					_ = l.Reopen()
				}
				l.say(fmt.Sprintf("/%d-%d", w, i))
			}
		})
	}
	all.Wait()
	l.Close()
	require.Equal(t, Stats{Written: 16_000}, l.Stats())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		require.True(t, strings.HasPrefix(line, "path=/") && !seen[line], "%q", line)
		seen[line] = true
	}
	require.Len(t, seen, 16_000)
}

func BenchmarkWrite(b *testing.B) {
	for _, text := range []bool{false, true} {
		b.Run(map[bool]string{false: "json", true: "text"}[text], func(b *testing.B) {
			l, err := New(Config{Text: text, Open: func() (io.WriteCloser, error) {
				return os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			}})
			require.NoError(b, err)
			defer l.Close()
			e := full()
			b.ReportAllocs()
			for b.Loop() {
				l.Write(e)
			}
		})
	}
}
