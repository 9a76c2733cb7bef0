package netsim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/netsim"
)

func TestAPanicAboutALinkNamesTheFieldAndItsValue(t *testing.T) {
	for want, l := range map[string]netsim.Link{
		"netsim: Link.Latency is 0 or more, not -1ms":                              {Latency: -time.Millisecond},
		"netsim: Link.Jitter is 0 or more, not -1ns":                               {Jitter: -1},
		"netsim: Link.Loss is a probability from 0 to 1, not 1.5":                  {Loss: 1.5},
		"netsim: Link.Loss is a probability from 0 to 1, not -0.1":                 {Loss: -0.1},
		"netsim: Link.Bandwidth is 0 (no limit) or more, not -7":                   {Bandwidth: -7},
		"netsim: Link.Queue is 0 or more, not -8":                                  {Queue: -8},
		"netsim: Link.Queue (8) needs a Bandwidth":                                 {Queue: 8},
		"netsim: Link.Sharing needs a Bandwidth to share":                          {Sharing: netsim.ShareByLink},
		"netsim: Link.Sharing is OwnBandwidth, ShareByHosts or ShareByLink, not 3": {Sharing: 3},
		"netsim: Link.Jitter (1s) and Link.Delay are both set; one of them says how latency varies": {
			Jitter: time.Second, Delay: netsim.ConstantDelay(time.Second)},
	} {
		netsim.Test(t, netsim.Config{Seed: 1}, func(s *netsim.Sim) {
			require.PanicsWithValue(t, want, func() { s.SetLink("*", "*", l) })
		})
	}
}

func TestAPanicAboutTheConfigNamesTheFieldAndItsValue(t *testing.T) {
	for want, cfg := range map[string]netsim.Config{
		"netsim: Config.Latency is 0 (its default) or more, not -1s":     {Latency: -time.Second},
		"netsim: Config.CrashGrace is 0 (its default) or more, not -1ns": {CrashGrace: -1},
		"netsim: Config.Backlog is 0 (its default) or more, not -2":      {Backlog: -2},
		"netsim: Config.LastEvents is 0 (its default) or more, not -3":   {LastEvents: -3},
	} {
		synctest.Test(t, func(t *testing.T) {
			require.PanicsWithValue(t, want, func() { netsim.New(cfg) })
		})
	}
}
