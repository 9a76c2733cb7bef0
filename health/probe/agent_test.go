package probe

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/health"
)

func TestAnAgentsLineMeansWhatHAProxyMeansByIt(t *testing.T) {
	type says = health.AgentReport
	none := func(s says) AgentReport { return AgentReport{Says: s, Weight: -1} }
	for line, want := range map[string]AgentReport{
		"ready":                     none(says{Mode: health.AgentInService}),
		"DRAIN":                     none(says{Mode: health.AgentToDrain}),
		"maint":                     none(says{Mode: health.AgentInMaintenance}),
		"up":                        none(says{State: health.AgentWell}),
		"down":                      none(says{State: health.AgentIll}),
		"Fail":                      none(says{State: health.AgentIll}),
		"stopped # for tonight's #": {Says: says{State: health.AgentIll}, Weight: -1, Text: "for tonight's #"},
		"75%":                       {Says: says{Weighty: true}, Weight: 75},
		"0%":                        {Says: says{Weightless: true}, Weight: 0},
		"1000%":                     {Says: says{Weighty: true}, Weight: 1000},
		"007%":                      {Says: says{Weighty: true}, Weight: 7},
		"maxconn:30":                {Weight: -1, MaxConnections: 30},
		"maxconn:1000000":           {Weight: -1, MaxConnections: 1_000_000},
		" ,\tup, ready\t50% maxconn:2,#": {Says: says{Mode: health.AgentInService, State: health.AgentWell, Weighty: true},
			Weight: 50, MaxConnections: 2},
		"drain down": none(says{Mode: health.AgentToDrain, State: health.AgentIll}),
		"up" + strings.Repeat(" ", MaxAgentLine-2): none(says{State: health.AgentWell}),
	} {
		got, err := ParseAgent(line)
		require.NoError(t, err, "%q", line)
		require.Equal(t, want, got, "%q", line)
	}
}

func TestAnAgentsLineThatIsNotUnderstoodIsNotBelievedInAnyPart(t *testing.T) {
	for line, want := range map[string]error{
		"": errAgentEmpty, " , \t": errAgentEmpty, "# only a text": errAgentEmpty,
		"drain maint": errAgentTwice, "ready ready": errAgentTwice, "up down": errAgentTwice, "down fail": errAgentTwice,
		"50% 60%": errAgentTwice, "maxconn:1 maxconn:1": errAgentTwice,
		"upp": errAgentWord, "up;ready": errAgentWord, "%": errAgentWord, "1001%": errAgentWord, "-1%": errAgentWord, "+1%": errAgentWord,
		"5 %": errAgentWord, "5.5%": errAgentWord, "99999999999999999999%": errAgentWord, "75": errAgentWord, "75%%": errAgentWord,
		"maxconn:": errAgentWord, "maxconn:0": errAgentWord, "maxconn:1000001": errAgentWord, "maxconn: 3": errAgentWord, "maxconn3": errAgentWord,
		"up\x00": errAgentBytes, "up\x7f": errAgentBytes, "u\xc3\xbc": errAgentBytes, "up # \x1b[2J": errAgentBytes, "up\r": errAgentBytes,
		"up" + strings.Repeat(" ", MaxAgentLine-1): errAgentLength,
	} {
		got, err := ParseAgent(line)
		require.ErrorIs(t, err, want, "%q", line)
		require.Equal(t, AgentReport{Weight: -1}, got, "%q", line)
	}
}

// Whatever an agent says, it is refused as a whole or within the bounds, and means the same when its words come in another order.
func FuzzParseAgent(f *testing.F) {
	for _, s := range []string{"up ready 75%", "drain", "maint # text", "maxconn:30,0%", "down fail", "1001%", "\x00", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := ParseAgent(line)
		if err != nil {
			require.Equal(t, AgentReport{Weight: -1}, r)
			return
		}
		require.True(t, r.Weight >= -1 && r.Weight <= MaxAgentWeight && r.MaxConnections >= 0 && r.MaxConnections <= MaxAgentConnections)
		require.Equal(t, r.Weight == 0, r.Says.Weightless)
		require.Equal(t, r.Weight > 0, r.Says.Weighty)
		require.NotEqual(t, AgentReport{Weight: -1, Text: r.Text}, r, "it says nothing")
		words, text, _ := strings.Cut(line, "#")
		all := strings.FieldsFunc(words, func(c rune) bool { return strings.ContainsRune(" \t,", c) })
		for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
			all[i], all[j] = all[j], all[i]
		}
		again, err := ParseAgent(strings.Join(all, ",") + "#" + text)
		if len(line) < MaxAgentLine {
			require.NoError(t, err)
			require.Equal(t, r, again)
		}
	})
}

func TestAnAgentIsAskedForOneLine(t *testing.T) {
	const well = Reason(255)
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  Reason
	}{
		"a line":                         {func(c net.Conn) { _, _ = io.WriteString(c, "up 50%\n") }, well},
		"a line that ends in CR":         {func(c net.Conn) { _, _ = io.WriteString(c, "up 50%\r") }, well},
		"more lines":                     {func(c net.Conn) { _, _ = io.WriteString(c, "up 50%\r\ndown\n") }, well},
		"byte by byte":                   {func(c net.Conn) { sendBytes(c, "up 50%\n") }, well},
		"a line that is kept open":       {func(c net.Conn) { _, _ = io.WriteString(c, "up 50%\n"); silent(c) }, well},
		"a line without an end":          {func(c net.Conn) { _, _ = io.WriteString(c, "up 50%") }, BadAnswer},
		"nothing":                        {func(net.Conn) {}, BadAnswer},
		"nonsense":                       {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n") }, BadAnswer},
		"the longest line":               {func(c net.Conn) { _, _ = io.WriteString(c, "up 50%"+strings.Repeat(" ", MaxAgentLine-6)+"\n") }, well},
		"a line that is a byte too long": {func(c net.Conn) { _, _ = io.WriteString(c, "up 50%"+strings.Repeat(" ", MaxAgentLine-5)+"\n") }, BadAnswer},
		"a line without end":             {func(c net.Conn) { sendBytes(c, strings.Repeat(" ", 1<<20)) }, BadAnswer},
		"silence":                        {silent, Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := &fakeNet{serve: c.serve}
				p, err := Agent(network, 5555, nil)
				require.NoError(t, err)
				if err := p.Probe(within(t), address); c.want == well {
					require.NoError(t, err)
					require.Equal(t, 50, p.Heard().Weight)
				} else {
					requireKind(t, c.want, err)
				}
				network.settle(t)
			})
		})
	}
}

func sendBytes(c net.Conn, s string) {
	for i := range s {
		if _, err := io.WriteString(c, s[i:i+1]); err != nil {
			return
		}
	}
}

func TestAnAgentIsToldWhatItIsToBeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &fakeNet{serve: func(c net.Conn) {
			buf := make([]byte, 16)
			n, _ := c.Read(buf)
			_, _ = io.WriteString(c, "drain # "+strings.TrimSpace(string(buf[:n]))+"\n")
		}}
		p, err := Agent(network, 1, []byte("web-1\n"))
		require.NoError(t, err)
		require.NoError(t, p.Probe(within(t), address))
		require.Equal(t, AgentReport{Says: health.AgentReport{Mode: health.AgentToDrain}, Weight: -1, Text: "web-1"}, p.Heard())
		network.settle(t)
		requireKind(t, Connect, p.Probe(within(t), "no port"))
	})
}

func TestAnAgentThatCannotBeAskedIsRefused(t *testing.T) {
	for _, port := range []int{0, -1, 65536} {
		_, err := Agent(nil, port, nil)
		require.ErrorContains(t, err, "port")
	}
	_, err := Agent(nil, 65535, make([]byte, MaxAgentSend+1))
	require.ErrorContains(t, err, "4097 bytes")
	_, err = Agent(nil, 65535, make([]byte, MaxAgentSend))
	require.NoError(t, err)
}
