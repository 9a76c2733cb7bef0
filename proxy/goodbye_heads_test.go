package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2/hpack"
)

// tookEach counts the requests by what they bring that have come to a backend.
type tookEach struct {
	mu sync.Mutex
	of map[string]int
}

func (c *tookEach) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	c.of[r.URL.Path+string(body[:min(len(body), 7)])]++
	c.mu.Unlock()
	_, _ = fmt.Fprint(w, len(body))
}

// An upload is under way when the connection is told to end, and others have been sent behind that. It goes on for as long as it takes, what
// stands before the GOAWAY's number is served once, what stands behind never.
func TestWhatIsUnderWayWhenHeadsAreTooMuchIsServedOnceAndTheRestNever(t *testing.T) {
	at := &tookEach{of: map[string]int{}}
	l := beLawful(t, nil, at.ServeHTTP)
	s := &siege{t: t, front: l.address}
	a := s.attack()
	upload := a.open(false, "/upload")
	token := hpack.HeaderField{Name: "authorization", Value: strings.Repeat("x", 3900)}
	for range 300 {
		id := a.open(false, "/", token)
		_ = a.fr.WriteData(id, true, []byte("body"))
		if a.flush(); !<-a.fates {
			break
		}
	}
	for !a.told.Load() { // else all were served, and none comes
		<-a.fates
	}
	last := a.last.Load()
	behind := 0
	for range 50 {
		id := a.open(false, "/behind", token)
		require.Greater(t, id, last)
		require.NoError(t, a.fr.WriteData(id, false, make([]byte, 16<<10))) // together more than the window that a connection begins with
		a.flush()
		behind++
	}
	for range 60 {
		require.NoError(t, a.fr.WriteData(upload, false, make([]byte, 1<<10)))
		a.flush()
	}
	require.NoError(t, a.fr.WriteData(upload, true, nil))
	a.flush()
	require.Equal(t, "NO_ERROR", a.end())
	at.mu.Lock()
	defer at.mu.Unlock()
	require.Zero(t, at.of["/behind"+strings.Repeat("\x00", 7)])
	require.Equal(t, 1, at.of["/upload"+strings.Repeat("\x00", 7)])
	sum := 0
	for _, n := range at.of {
		sum += n
	}
	require.EqualValues(t, (last+1)/2, sum)
	require.Zero(t, l.server.Stats().Floods)
	require.EqualValues(t, 1, l.server.Stats().WornOut)
}

func TestPOSTsWithALongTokenAreEachServedOnceWhateverConnectionsEnd(t *testing.T) {
	at := &tookEach{of: map[string]int{}}
	l := beLawful(t, nil, at.ServeHTTP)
	for _, again := range []bool{true, false} {
		warm, err := l.client.Get("http://" + l.address + "/") // so that there is one connection for all
		require.NoError(t, err)
		require.NoError(t, warm.Body.Close())
		clear(at.of)
		var failed atomic.Int64
		var work sync.WaitGroup
		for w := range 10 {
			work.Go(func() {
				for i := range 100 {
					for range 5 { // which bring little
						req := request("GET", "http://"+l.address+"/", nil)
						req.Header.Set("Authorization", strings.Repeat("x", 3700))
						resp, err := l.client.Do(req)
						require.NoError(t, err)
						_ = resp.Body.Close()
					}
					var body io.Reader = strings.NewReader(fmt.Sprintf("%03d %03d", w, i))
					if !again {
						body = io.MultiReader(body) // which net/http cannot send again
					}
					req, err := http.NewRequest("POST", "http://"+l.address+"/", body)
					require.NoError(t, err)
					req.Header.Set("Authorization", strings.Repeat("x", 3700))
					resp, err := l.client.Do(req)
					if err != nil {
						failed.Add(1)
						continue
					}
					got, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					require.NoError(t, err)
					require.True(t, bytes.Equal([]byte("7"), got))
				}
			})
		}
		work.Wait()
		at.mu.Lock()
		once := 0
		for path, n := range at.of {
			if path == "/" {
				continue
			}
			require.Equal(t, 1, n, path)
			once++
		}
		at.mu.Unlock()
		t.Logf("can be sent again %v: failed %d, served %d, connections %d, worn out %d", again, failed.Load(), once, l.dials.Load(), l.server.Stats().WornOut)
		require.EqualValues(t, 1000, once+int(failed.Load()))
		require.Positive(t, l.server.Stats().WornOut)
		if again {
			require.Zero(t, failed.Load())
		} else {
			require.Less(t, failed.Load(), int64(20), "as good as all connections end without a loss: clients are warned")
		}
	}
	l.calm()
}
