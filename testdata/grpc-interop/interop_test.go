// Package interop runs gRPC's own interoperability tests through a wavepool that is built and started for them: a client and
// a server of grpc-go, HTTP/2 on both sides. It is a module of its own, so that wavepool depends on no gRPC:
//
//	cd testdata/grpc-interop && go test
package interop

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

// through starts a server and a wavepool before it, with those settings of the upstream's health, and connects to that.
func through(t *testing.T, health string, register func(*grpc.Server)) *grpc.ClientConn {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	testpb.RegisterTestServiceServer(srv, interop.NewTestServer())
	register(srv)
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(srv.Stop)

	dir := t.TempDir()
	binary, cfg := filepath.Join(dir, "wavepool"), filepath.Join(dir, "wavepool.yaml")
	build := exec.Command("go", "build", "-o", binary, "./cmd/wavepool")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text := fmt.Sprintf("listeners: [{address: \"127.0.0.1:0\", upstream: svc}]\n"+
		"upstreams: {svc: {protocol: http2, health: %s, backends: [{address: %q}]}}\nadmin: {address: off}\n", health, ln.Addr())
	if err := os.WriteFile(cfg, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-config", cfg)
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address := ""
	lines := bufio.NewScanner(log)
	for address == "" && lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), "msg=listening address="); ok {
			address, _, _ = strings.Cut(rest, " ")
		}
	}
	go func() {
		for lines.Scan() {
		}
	}()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestGRPCGoesThroughInAllItsKinds(t *testing.T) {
	conn := through(t, "{}", func(*grpc.Server) {})
	tc := testpb.NewTestServiceClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	// Each of them ends the process when it fails, and says which it is.
	interop.DoEmptyUnaryCall(ctx, tc)
	interop.DoLargeUnaryCall(ctx, tc)
	interop.DoClientStreaming(ctx, tc)
	interop.DoServerStreaming(ctx, tc)
	interop.DoPingPong(ctx, tc)
	interop.DoEmptyStream(ctx, tc)
	interop.DoTimeoutOnSleepingServer(ctx, tc)
	interop.DoCancelAfterBegin(ctx, tc)
	interop.DoCancelAfterFirstResponse(ctx, tc)
	interop.DoCustomMetadata(ctx, tc)
	interop.DoStatusCodeAndMessage(ctx, tc)
	interop.DoSpecialStatusMessage(ctx, tc)
	interop.DoUnimplementedMethod(ctx, conn)
	interop.DoUnimplementedService(ctx, testpb.NewUnimplementedServiceClient(conn))
}

func TestHealthChecksFollowTheHealthServiceOfGRPC(t *testing.T) {
	hs := health.NewServer()
	conn := through(t, "{active: {interval: 50ms, timeout: 50ms, rise: 1, fall: 1, grpc: {service: cart}}}",
		func(srv *grpc.Server) { healthpb.RegisterHealthServer(srv, hs) })
	tc := testpb.NewTestServiceClient(conn)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	until := func(want codes.Code) {
		for {
			_, err := tc.EmptyCall(ctx, &testpb.Empty{})
			if status.Code(err) == want {
				return
			}
			if ctx.Err() != nil {
				t.Fatalf("never %v; last: %v", want, err)
			}
		}
	}
	until(codes.Unavailable) // the service is unknown
	hs.SetServingStatus("cart", healthpb.HealthCheckResponse_SERVING)
	until(codes.OK)
	hs.SetServingStatus("cart", healthpb.HealthCheckResponse_NOT_SERVING)
	until(codes.Unavailable)
	hs.SetServingStatus("cart", healthpb.HealthCheckResponse_SERVING)
	until(codes.OK)
}

// call has the server end a call with that status: at once, or behind a message.
func call(ctx context.Context, tc testpb.TestServiceClient, code codes.Code, behind bool) error {
	ends := &testpb.EchoStatus{Code: int32(code), Message: "as asked"}
	if !behind {
		_, err := tc.UnaryCall(ctx, &testpb.SimpleRequest{ResponseStatus: ends})
		return err
	}
	stream, err := tc.FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	one := []*testpb.ResponseParameters{{Size: 10}}
	for _, req := range []*testpb.StreamingOutputCallRequest{{ResponseParameters: one}, {ResponseStatus: ends}} {
		if err = stream.Send(req); err != nil {
			return err
		}
		if _, err = stream.Recv(); err != nil {
			return err
		}
	}
	return nil
}

// What a call ends with is evidence: a breaker opens for what a server says of itself, and not for what it says of the call.
func TestTheStatusOfACallIsEvidence(t *testing.T) {
	for name, behind := range map[string]bool{"at once": false, "behind a message": true} {
		t.Run(name, func(t *testing.T) {
			conn := through(t, "{active: off, breaker: {error_percent: 50, min_requests: 8, window: 1h, open_time: 500ms, probes: 1}}", func(*grpc.Server) {})
			tc := testpb.NewTestServiceClient(conn)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			ends := func(code codes.Code, times int) {
				t.Helper()
				for range times {
					if err := call(ctx, tc, code, behind); status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), "as asked") {
						t.Fatalf("%v, where the server says %v", err, code)
					}
				}
			}
			for _, code := range []codes.Code{codes.InvalidArgument, codes.DeadlineExceeded, codes.NotFound, codes.ResourceExhausted} {
				ends(code, 2)
			}
			ends(codes.Unavailable, 8) // half of them have failed
			if _, err := tc.EmptyCall(ctx, &testpb.Empty{}); status.Code(err) != codes.Unavailable {
				t.Fatalf("%v, though the breaker is open", err)
			}
			for ctx.Err() == nil {
				if _, err := tc.EmptyCall(ctx, &testpb.Empty{}); err == nil {
					return
				}
			}
			t.Fatal("it never closes")
		})
	}
}
