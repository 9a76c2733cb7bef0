package main

import (
	"context"

	commons "github.com/jolestar/go-commons-pool/v2"

	"github.com/gomodule/redigo/redis"
)

// redisConn is the same fake as redigo wants to see it.
type redisConn struct{ *fakeConn }

func (redisConn) Err() error                       { return nil }
func (c redisConn) Do(string, ...any) (any, error) { return c.fakeConn, nil }
func (redisConn) Send(string, ...any) error        { return nil }
func (redisConn) Flush() error                     { return nil }
func (redisConn) Receive() (any, error)            { return nil, nil }

// openRedigo lends with Pool.GetContext, which waits for a connection, and returns with Conn.Close. What it lends hides the
// connection, which is asked for only where a test looks.
func openRedigo(m *maker, size int) (lender, error) {
	p := &redis.Pool{MaxActive: size, MaxIdle: size, Wait: true,
		Dial: func() (redis.Conn, error) { return redisConn{m.make()}, nil }}
	return lender{
		run: func(ctx context.Context, n int, w work) error {
			for range n {
				c, err := p.GetContext(ctx)
				if err != nil {
					return err
				}
				if w.visit != nil {
					bare, err := c.Do("connection")
					if err != nil {
						return err
					}
					w.visit(bare.(*fakeConn))
				}
				quiet := work{yield: w.yield}
				quiet.do(nil)
				if err := c.Close(); err != nil {
					return err
				}
			}
			return nil
		},
		fill: func(ctx context.Context, n int) error {
			lent := make([]redis.Conn, n)
			for i := range lent {
				c, err := p.GetContext(ctx)
				if err != nil {
					return err
				}
				lent[i] = c
			}
			for _, c := range lent {
				if err := c.Close(); err != nil {
					return err
				}
			}
			return nil
		},
		close: func() { _ = p.Close() },
	}, nil
}

// openCommons is the Go translation of Apache's commons-pool.
func openCommons(m *maker, size int) (lender, error) {
	cfg := commons.NewDefaultPoolConfig()
	cfg.MaxTotal, cfg.MaxIdle, cfg.BlockWhenExhausted = size, size, true
	p := commons.NewObjectPool(context.Background(), commons.NewPooledObjectFactorySimple(
		func(context.Context) (any, error) { return m.make(), nil }), cfg)
	return lender{
		run: func(ctx context.Context, n int, w work) error {
			for range n {
				c, err := p.BorrowObject(ctx)
				if err != nil {
					return err
				}
				w.do(c.(*fakeConn))
				if err := p.ReturnObject(ctx, c); err != nil {
					return err
				}
			}
			return nil
		},
		fill: func(ctx context.Context, n int) error {
			lent := make([]any, n)
			for i := range lent {
				c, err := p.BorrowObject(ctx)
				if err != nil {
					return err
				}
				lent[i] = c
			}
			for _, c := range lent {
				if err := p.ReturnObject(ctx, c); err != nil {
					return err
				}
			}
			return nil
		},
		close: func() { p.Close(context.Background()) },
	}, nil
}
