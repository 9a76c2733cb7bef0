package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"

	"github.com/benbjohnson/clock"
	"github.com/jackc/puddle/v2"
	"github.com/wavepool/wavepool/pool"
)

// openOurs is Lend and Release as a caller uses them who has not read the clock: it is read twice.
func openOurs(m *maker, size int) (lender, error) {
	clk := clock.New()
	p, err := pool.New(pool.Config{Address: "fake:1", Dialer: m, Clock: clk, MaxConnections: size})
	if err != nil {
		return lender{}, err
	}
	return lender{
		run: func(ctx context.Context, n int, w work) error {
			for range n {
				c, err := p.Lend(ctx)
				if err != nil {
					return err
				}
				w.do(c.NetConn().(*fakeConn))
				c.Release()
			}
			return nil
		},
		fill:  fillOurs(p),
		close: p.Close,
	}, nil
}

// openOursGiven is LendAt and ReleaseAt as a caller uses them who has read the clock anyway, as the proxy has.
func openOursGiven(m *maker, size int) (lender, error) {
	return openOursWith(m, size, func(ctx context.Context) context.Context { return ctx })
}

// openOursBound is the same for a caller who cannot be called off, like one of a bare channel.
func openOursBound(m *maker, size int) (lender, error) {
	return openOursWith(m, size, func(context.Context) context.Context { return context.Background() })
}

func openOursWith(m *maker, size int, with func(context.Context) context.Context) (lender, error) {
	clk := clock.New()
	p, err := pool.New(pool.Config{Address: "fake:1", Dialer: m, Clock: clk, MaxConnections: size})
	if err != nil {
		return lender{}, err
	}
	return lender{
		run: func(ctx context.Context, n int, w work) error {
			now, ctx := clk.Now(), with(ctx)
			for range n {
				c, err := p.LendAt(ctx, now, 0)
				if err != nil {
					return err
				}
				w.do(c.NetConn().(*fakeConn))
				c.ReleaseAt(now)
			}
			return nil
		},
		fill:  fillOurs(p),
		close: p.Close,
	}, nil
}

func fillOurs(p *pool.Pool) func(context.Context, int) error {
	return func(ctx context.Context, n int) error {
		lent := make([]pool.Conn, n)
		for i := range lent {
			c, err := p.Lend(ctx)
			if err != nil {
				return err
			}
			lent[i] = c
		}
		for _, c := range lent {
			c.Release()
		}
		return nil
	}
}

func openPuddle(m *maker, size int) (lender, error) {
	p, err := puddle.NewPool(&puddle.Config[*fakeConn]{
		Constructor: func(context.Context) (*fakeConn, error) { return m.make(), nil },
		Destructor:  func(c *fakeConn) { _ = c.Close() },
		MaxSize:     int32(size),
	})
	if err != nil {
		return lender{}, err
	}
	return lender{
		run: func(ctx context.Context, n int, w work) error {
			for range n {
				r, err := p.Acquire(ctx)
				if err != nil {
					return err
				}
				w.do(r.Value())
				r.Release()
			}
			return nil
		},
		fill: func(ctx context.Context, n int) error {
			lent := make([]*puddle.Resource[*fakeConn], n)
			for i := range lent {
				r, err := p.Acquire(ctx)
				if err != nil {
					return err
				}
				lent[i] = r
			}
			for _, r := range lent {
				r.Release()
			}
			return nil
		},
		close: p.Close,
	}, nil
}

// sqlConn is the same fake as database/sql wants to see it.
type sqlConn struct{ *fakeConn }

var errNoDatabase = errors.New("there is no database")

func (sqlConn) Prepare(string) (driver.Stmt, error) { return nil, errNoDatabase }
func (sqlConn) Begin() (driver.Tx, error)           { return nil, errNoDatabase }

// connector dials for database/sql, and is its driver too.
type connector struct{ m *maker }

func (c connector) Connect(context.Context) (driver.Conn, error) { return sqlConn{c.m.make()}, nil }
func (c connector) Driver() driver.Driver                        { return c }
func (c connector) Open(string) (driver.Conn, error)             { return sqlConn{c.m.make()}, nil }

// openSQL lends with DB.Conn and returns with Conn.Close.
func openSQL(m *maker, size int) (lender, error) {
	db := sql.OpenDB(connector{m})
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	db.SetConnMaxLifetime(30 * time.Minute)
	return lender{
		run:   func(ctx context.Context, n int, w work) error { return runSQL(ctx, db, n, w) },
		fill:  func(ctx context.Context, n int) error { return fillSQL(ctx, db, n) },
		close: func() { _ = db.Close() },
	}, nil
}

func runSQL(ctx context.Context, db *sql.DB, n int, w work) error {
	// Raw is the only way to the connection and costs by itself, so that it is taken only where a test looks.
	visit := func(dc any) error {
		w.visit(dc.(sqlConn).fakeConn)
		return nil
	}
	quiet := work{yield: w.yield}
	for range n {
		c, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		if w.visit != nil {
			if err := c.Raw(visit); err != nil {
				return err
			}
		}
		quiet.do(nil)
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

func fillSQL(ctx context.Context, db *sql.DB, n int) error {
	lent := make([]*sql.Conn, n)
	for i := range lent {
		c, err := db.Conn(ctx)
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
}
