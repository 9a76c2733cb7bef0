package proxy

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wavepool/wavepool/proxy/upstream"
)

func TestOnlyStatusesOfGRPCThatSpeakOfTheServerAreEvidence(t *testing.T) {
	bad := map[string]upstream.Outcome{
		"2": upstream.OutcomeAnswered5xx, "13": upstream.OutcomeAnswered5xx, "15": upstream.OutcomeAnswered5xx, "14": upstream.OutcomeGatewayError,
		"014": upstream.OutcomeGatewayError,
	}
	for text, want := range bad {
		require.Equal(t, want, outcomeOfGRPC([]byte(text)), text)
	}
	for _, text := range []string{"", "0", "1", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "16", "17", "99999999999999999999999",
		"-14", "14 ", " 14", "+14", "0x0e", "14,14", "UNAVAILABLE"} {
		require.Equal(t, upstream.OutcomeAnswered, outcomeOfGRPC([]byte(text)), text)
	}
}

// Whatever stands there, it is evidence only where it is a number in plain digits that is one of four.
func FuzzStatusOfGRPC(f *testing.F) {
	for _, text := range []string{"", "0", "2", "13", "14", "15", "16", "0014", "-2", "1e1", "18446744073709551630"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := upstream.OutcomeAnswered
		if n, err := strconv.ParseUint(string(text), 10, 64); err == nil && bytes.IndexByte(text, '_') < 0 {
			switch n {
			case 2, 13, 15:
				want = upstream.OutcomeAnswered5xx
			case 14:
				want = upstream.OutcomeGatewayError
			}
		}
		require.Equal(t, want, outcomeOfGRPC(text))
	})
}

func TestTheMediaTypesOfGRPCAreTold(t *testing.T) {
	for text, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "Application/GRPC+json": true, "application/grpc;charset=x": true,
		"application/grpc ; a=b": true, "application/grpc\t": true,
		"": false, "application/grp": false, "application/grpc-web": false, "application/grpc-web+proto": false, "application/grpcx": false,
		"application/json": false, " application/grpc": false,
	} {
		require.Equal(t, want, isGRPC([]byte(text)), text)
	}
}

func TestLookingForAStatusOfGRPCAllocatesNothing(t *testing.T) {
	kind, status := []byte("application/grpc+proto"), []byte("14")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if !isGRPC(kind) || outcomeOfGRPC(status) != upstream.OutcomeGatewayError {
			t.Error("not told")
		}
	}))
}
