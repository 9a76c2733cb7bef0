package accesslog

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// full is an entry with everything in it.
func full() *Entry {
	return &Entry{
		Time:     time.Date(2026, 7, 1, 12, 0, 0, 42, time.FixedZone("", 7200)),
		Listener: ":8080", Protocol: "HTTP/1.1", Client: "192.0.2.7:4242", ClientRequest: 3,
		Method: []byte("GET"), Host: []byte("a.test"), Path: []byte("/p"), Query: []byte("q=1"), TargetBytes: 6,
		Status: 200, Outcome: "answered", Detail: "d", Upstream: "web", Backend: "10.0.0.2:80",
		HasConn: true, Reused: true, ConnAge: 90 * time.Second, ConnUses: 7,
		QueueWait: 1500 * time.Microsecond, Connect: 250 * time.Microsecond,
		FirstByte: 3 * time.Millisecond, Total: 3*time.Millisecond + 999*time.Nanosecond,
		HeadIn: 40, BodyIn: 0, HeadOut: 120, BodyOut: 1 << 40,
		Attempts:  []Attempt{{"10.0.0.1:80", "backend_reset", time.Millisecond}, {"10.0.0.2:80", "answered", time.Second}},
		RequestID: []byte("abc"),
	}
}

func encoded(e *Entry, text bool, fields ...Field) string {
	if len(fields) == 0 {
		fields = Fields()
	}
	w := encoder{text: text}
	w.line(e, fields)
	return string(w.b)
}

func TestALineOfJSONHasEveryFieldUnderItsName(t *testing.T) {
	require.Equal(t, `{"time":"2026-07-01T10:00:00.000000042Z","listener":":8080","protocol":"HTTP/1.1",`+
		`"client":"192.0.2.7:4242","client_request":3,"method":"GET","host":"a.test","path":"/p","query":"q=1","target_bytes":6,`+
		`"status":200,"outcome":"answered","detail":"d","upstream":"web","backend":"10.0.0.2:80","reused":true,"conn_age":90.000000,`+
		`"conn_uses":7,"queue_wait":0.001500,"connect":0.000250,"first_byte":0.003000,"total":0.003000,"head_in":40,"body_in":0,`+
		`"head_out":120,"body_out":1099511627776,"retries":1,"attempts":[{"backend":"10.0.0.1:80","outcome":"backend_reset",`+
		`"duration":0.001000},{"backend":"10.0.0.2:80","outcome":"answered","duration":1.000000}],"request_id":"abc"}`+"\n",
		encoded(full(), false))
}

func TestALineOfTextHasEveryFieldUnderItsName(t *testing.T) {
	require.Equal(t, `time=2026-07-01T10:00:00.000000042Z listener=:8080 protocol=HTTP/1.1 client=192.0.2.7:4242 `+
		`client_request=3 method=GET host=a.test path=/p query="q=1" target_bytes=6 status=200 outcome=answered detail=d upstream=web `+
		`backend=10.0.0.2:80 reused=true conn_age=90.000000 conn_uses=7 queue_wait=0.001500 connect=0.000250 `+
		`first_byte=0.003000 total=0.003000 head_in=40 body_in=0 head_out=120 body_out=1099511627776 retries=1 `+
		`attempts="10.0.0.1:80/backend_reset/0.001000,10.0.0.2:80/answered/1.000000" request_id=abc`+"\n",
		encoded(full(), true))
}

func TestWhatIsNotKnownIsLeftOutOfALine(t *testing.T) {
	e := &Entry{Time: time.Unix(0, 0), Listener: ":1", Protocol: "http", Client: "c", ClientRequest: 1, Status: 400,
		Outcome: "bad_request"}
	require.Equal(t, `{"time":"1970-01-01T00:00:00.000000000Z","listener":":1","protocol":"http","client":"c",`+
		`"client_request":1,"target_bytes":0,"status":400,"outcome":"bad_request","queue_wait":0.000000,"connect":0.000000,`+
		`"total":0.000000,"head_in":0,"body_in":0,"head_out":0,"body_out":0,"retries":0}`+"\n", encoded(e, false))
	require.Equal(t, "{}\n", encoded(&Entry{}, false, Status, Path, Attempts))
	require.Equal(t, "\n", encoded(&Entry{}, true, Status, Path, Attempts))
}

func TestNobodyCanWriteALineOfTheirOwn(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\n{\"status\":200}": `a\u000d\u000a{\"status\":200}`,
		"a\x00\x1b[2J\x7f":      `a\u0000\u001b[2J\u007f`,
		`\"`:                    `\\\"`,
		"a\xffb\xc3":            `a\ufffdb\ufffd`,
		"ä€😀":                   "ä€😀",
		"\u0085\u2028\u2029":    `\u0085\u2028\u2029`,
		"\ufffd":                "\ufffd",
	} {
		e := &Entry{Path: []byte(in)}
		require.Equal(t, `{"path":"`+want+"\"}\n", encoded(e, false, Path))
		require.Equal(t, `path="`+want+"\"\n", encoded(e, true, Path))
	}
}

func TestWhatClientsChooseIsCut(t *testing.T) {
	long := bytes.Repeat([]byte("a"), 100_000)
	e := full()
	e.Method, e.Host, e.Path, e.Query, e.RequestID, e.TargetBytes = long, long, long, long, long, 200_001
	for range 100 {
		e.Attempts = append(e.Attempts, Attempt{"b", "answered", 0})
	}
	var back map[string]any
	require.NoError(t, json.Unmarshal([]byte(encoded(e, false)), &back))
	for name, most := range map[string]int{"method": 32, "host": 256, "path": 1024, "query": 1024, "request_id": 128} {
		require.Len(t, back[name], most, name)
	}
	require.EqualValues(t, 200_001, back["target_bytes"])
	require.Len(t, back["attempts"], 16)
	require.EqualValues(t, 101, back["retries"], "which are counted nevertheless")

	e.Path = []byte(strings.Repeat("a", 1023) + "ä")
	require.Equal(t, `path="`+strings.Repeat("a", 1023)+"\\ufffd\"\n", encoded(e, true, Path), "a rune that is cut is no UTF-8")
}

func TestFieldsAreAClosedListWithNames(t *testing.T) {
	seen := map[string]bool{}
	for i, f := range Fields() {
		require.EqualValues(t, i, f)
		require.False(t, seen[f.String()])
		seen[f.String()] = true
		back, ok := FieldNamed(f.String())
		require.True(t, ok)
		require.Equal(t, f, back)
	}
	require.Len(t, seen, numFields)
	_, ok := FieldNamed("stauts")
	require.False(t, ok)
	require.Equal(t, "unknown", Field(numFields).String())
}

func TestAClockThatWasSetBackGivesNoNegativeTimes(t *testing.T) {
	require.Equal(t, "total=0.000000\n", encoded(&Entry{Total: -time.Second}, true, Total))
	require.Equal(t, "total=9223372036.854775\n", encoded(&Entry{Total: 1<<63 - 1}, true, Total))
}

// logged is a line of JSON read back.
type logged struct {
	Time     time.Time
	Client   string
	Method   string
	Host     string
	Path     string
	Query    string
	Status   int
	Outcome  string
	Total    float64
	BodyIn   int64  `json:"body_in"`
	ID       string `json:"request_id"`
	Attempts []struct {
		Backend, Outcome string
		Duration         float64
	}
}

// readable is what can be read back of a string that was cut and replaced where it is no UTF-8.
func readable(s []byte, most int) string {
	var out []rune
	for s = s[:min(len(s), most)]; len(s) > 0; {
		r, n := utf8.DecodeRune(s)
		out, s = append(out, r), s[n:]
	}
	return string(out)
}

func FuzzALineParsesBack(f *testing.F) {
	f.Add([]byte("/a"), []byte("q=1"), []byte("a.test"), "10.0.0.1:80", int64(1), 200)
	f.Add([]byte("/\r\n\"\\\x00\x7f"), []byte("\xff\xfe"), []byte("\xe2\x80\xa8"), "a b=\"", int64(-1), 0)
	f.Add([]byte("=,/'"), []byte("{}[]"), []byte(" "), "\u0085", int64(1)<<62, -5)
	f.Add(bytes.Repeat([]byte("ä"), 600), []byte(nil), []byte("h"), "", int64(0), 999)
	f.Fuzz(func(t *testing.T, path, query, host []byte, word string, n int64, status int) {
		e := &Entry{Time: time.Unix(0, n).UTC(), Client: word, Method: host, Host: host, Path: path, Query: query, Status: status,
			Outcome: word, Total: time.Duration(n), BodyIn: n, RequestID: path,
			Attempts: []Attempt{{word, string(query), time.Duration(n)}}}
		line := encoded(e, false)
		require.Equal(t, 1, strings.Count(line, "\n"))
		for _, c := range []byte(strings.TrimSuffix(line, "\n")) {
			require.True(t, c >= ' ' && c != 0x7f, "%q", line)
		}
		require.True(t, utf8.ValidString(line))
		var back logged
		require.NoError(t, json.Unmarshal([]byte(line), &back), "%s", line)
		require.Equal(t, e.Time, back.Time)
		require.Equal(t, readable(path, maxPath), back.Path)
		require.Equal(t, readable(query, maxPath), back.Query)
		require.Equal(t, readable(host, maxHost), back.Host)
		require.Equal(t, readable(host, maxMethod), back.Method)
		require.Equal(t, readable(path, maxIdentity), back.ID)
		require.Equal(t, readable([]byte(word), maxName), back.Client)
		require.Equal(t, readable([]byte(query), maxName), back.Attempts[0].Outcome)
		require.Equal(t, status, back.Status)
		require.Equal(t, n, back.BodyIn)
		require.InEpsilon(t, 1+max(0, float64(n))/1e9, 1+back.Total, 1e-5)

		text := encoded(e, true)
		require.Equal(t, 1, strings.Count(text, "\n"))
		pairs := textPairs(t, text)
		require.Equal(t, back.Path, pairs["path"])
		require.Equal(t, back.Query, pairs["query"])
		require.Equal(t, back.Client, pairs["client"])
	})
}

// textPairs reads a line of text as its readers do: words without quotes end at a space, those with quotes are JSON.
func textPairs(t *testing.T, line string) map[string]string {
	out := map[string]string{}
	rest := strings.TrimSuffix(line, "\n")
	for rest != "" {
		name, value, ok := strings.Cut(rest, "=")
		require.True(t, ok, "%q", line)
		end := strings.IndexByte(value, ' ')
		if strings.HasPrefix(value, `"`) {
			end = 1
			for value[end] != '"' {
				if value[end] == '\\' {
					end++
				}
				end++
			}
			end++
		} else if end < 0 {
			end = len(value)
		}
		word := value[:end]
		rest = strings.TrimPrefix(value[end:], " ")
		if strings.HasPrefix(word, `"`) {
			require.NoError(t, json.Unmarshal([]byte(word), &word))
		}
		out[name] = word
	}
	return out
}
