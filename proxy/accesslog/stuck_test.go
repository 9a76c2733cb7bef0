package accesslog

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
)

func TestALogThatIsReopenedLeavesAFileThatTakesNothing(t *testing.T) {
	netsim.Test(t, netsim.Config{Seed: 1}, func(s *netsim.Sim) {
		clk := s.Clock()
		stuck := make(chan struct{})
		first, second := &closing{file: file{stall: func() { <-stuck }}, do: func() { close(stuck) }}, &file{}
		n := 0
		l, err := New(Config{Clock: clk, Text: true, Fields: []Field{Path}, Open: opener(&n, first, second)})
		require.NoError(t, err)
		require.True(t, l.Write(&Entry{Path: []byte("/1")}))
		clk.Sleep(2 * time.Second)
		require.NoError(t, l.Reopen())
		require.True(t, l.Write(&Entry{Path: []byte("/2")}))
		clk.Sleep(10 * time.Second)
		got := second.String()
		l.Close()
		require.Contains(t, got, "/2")
	})
}

// closing is a file whose Close ends the write under way, as that of a pipe does.
type closing struct {
	file
	do func()
}

func (f *closing) Close() error {
	if f.do != nil {
		f.do()
	}
	return f.file.Close()
}

func opener(n *int, files ...io.WriteCloser) func() (io.WriteCloser, error) {
	return func() (io.WriteCloser, error) {
		*n++
		return files[*n-1], nil
	}
}
