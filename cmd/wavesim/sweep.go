package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// sweepRun is a scenario with many seeds, spread over children.
type sweepRun struct {
	job      job
	seeds    []uint64
	parallel int
	limit    time.Duration
	env      []string               // added to the children's environment: for tests
	each     func(i int, r *result) // in the order of the seeds, one call at a time
	broke    func(seed uint64, off *brokeOff)

	mu    sync.Mutex
	next  int             // the first seed that nobody has taken
	told  int             // how many have been told
	ready map[int]*result // finished and not told yet, because an earlier one is missing
	usage string          // why the file cannot be run at all
}

// maxBatch is how many seeds a child gets at a time: starting one costs some ten milliseconds.
const maxBatch = 25

// take gives a worker its next seeds; the last batches are small, so that all workers are done at about the same time.
func (s *sweepRun) take() (at int, seeds []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.usage != "" {
		return 0, nil
	}
	left := len(s.seeds) - s.next
	n := min(left, max(1, min(maxBatch, left/(2*s.parallel))))
	at, seeds = s.next, s.seeds[s.next:s.next+n]
	s.next += n
	return at, seeds
}

// finish takes in a result, and tells what can be told in order.
func (s *sweepRun) finish(i int, r *result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready[i] = r
	for {
		r, ok := s.ready[s.told]
		if !ok {
			return
		}
		delete(s.ready, s.told)
		s.told++
		s.each(s.told-1, r)
	}
}

// run runs all seeds. The error is a mistake in the files.
func (s *sweepRun) run() error {
	s.ready = make(map[int]*result)
	s.parallel = max(1, min(s.parallel, len(s.seeds)))
	var workers sync.WaitGroup
	for range s.parallel {
		workers.Go(s.work)
	}
	workers.Wait()
	if s.usage != "" {
		return errors.New(s.usage)
	}
	return nil
}

// work is one worker, with one child at a time.
func (s *sweepRun) work() {
	for {
		at, seeds := s.take()
		if len(seeds) == 0 {
			return
		}
		for len(seeds) > 0 {
			done := s.batch(at, seeds)
			at, seeds = at+done, seeds[done:]
		}
	}
}

// batch runs some seeds in one child, and says how many of them are done with. Where a child breaks off, the seed that it
// was at has failed, and the others go to another child.
func (s *sweepRun) batch(at int, seeds []uint64) (done int) {
	j := s.job
	j.Seeds = seeds
	err := spawnEach(j, s.limit, func(a *answer) {
		if a.Usage != "" {
			s.mu.Lock()
			s.usage = a.Usage
			s.mu.Unlock()
		}
		if a.Result != nil {
			s.finish(at+done, a.Result)
		}
		done++
	}, s.env...)
	var off *brokeOff
	if !errors.As(err, &off) || done == len(seeds) {
		return len(seeds)
	}
	one := j
	one.Seed = &seeds[done]
	if s.broke != nil {
		s.broke(seeds[done], off)
	}
	s.finish(at+done, brokenAnswer(&one, off).Result)
	return done + 1
}

// sweep is the command.
func sweep(o *sweepOptions, stdout, stderr io.Writer) int {
	seeds := o.seeds.seeds(o.shard)
	if len(seeds) == 0 {
		fmt.Fprintf(stderr, "wavesim: shard %d/%d has no seed of %v\n", o.shard.i, o.shard.n, o.seeds)
		return exitUsage
	}
	var out io.Writer = io.Discard
	if o.out != "" {
		f, err := os.Create(o.out)
		if err != nil {
			fmt.Fprintf(stderr, "wavesim: %v\n", err)
			return exitUsage
		}
		defer f.Close()
		out = f
	}
	if o.json {
		out = io.MultiWriter(out, stdout)
	}
	var all []*result
	bar := newProgress(stderr, len(seeds))
	var writeErr error
	s := &sweepRun{job: job{File: o.file, Config: o.config}, seeds: seeds, parallel: o.parallel, limit: o.limit}
	s.each = func(_ int, r *result) {
		r.Config = o.config
		all = append(all, r)
		if err := writeResult(out, r); err != nil && writeErr == nil {
			writeErr = err
		}
		bar.step(r.OK)
	}
	s.broke = func(seed uint64, off *brokeOff) {
		bar.clear()
		fmt.Fprintf(stderr, "wavesim: %s, seed %d: %v\n", o.file, seed, off)
	}
	err := s.run()
	bar.clear()
	if err = errors.Join(err, writeErr); err != nil {
		fmt.Fprintf(stderr, "wavesim: %v\n", err)
		return exitUsage
	}
	sum := summarize(all)
	if !o.json {
		title := fmt.Sprintf("seeds %v", o.seeds)
		if o.shard.n > 1 {
			title += fmt.Sprintf(", shard %d/%d", o.shard.i, o.shard.n)
		}
		fmt.Fprint(stdout, paint(sum.text(title, o.file), !o.noColor && isTerminal(stdout)))
	}
	return sum.status()
}

// merge is the command: the summary of what several shards have written.
func merge(o *mergeOptions, stdout, stderr io.Writer) int {
	var all []*result
	for _, file := range o.files {
		rs, err := readResults(file)
		if err != nil {
			fmt.Fprintf(stderr, "wavesim: %v\n", err)
			return exitUsage
		}
		all = append(all, rs...)
	}
	if err := sameScenario(all); err != nil {
		fmt.Fprintf(stderr, "wavesim: %v\n", err)
		return exitUsage
	}
	sum := summarize(all)
	fmt.Fprint(stdout, paint(sum.text(fmt.Sprintf("%d files", len(o.files)), "FILE"), !o.noColor && isTerminal(stdout)))
	return sum.status()
}

// sameScenario refuses results that do not belong together.
func sameScenario(all []*result) error {
	if len(all) == 0 {
		return errors.New("there is no result in the files")
	}
	seen := make(map[uint64]bool, len(all))
	for _, r := range all {
		switch {
		case r.Name != all[0].Name || r.Config != all[0].Config:
			return fmt.Errorf("results of %s and of %s do not belong together", all[0].Name, r.Name)
		case seen[r.Seed]:
			return fmt.Errorf("seed %d is there twice; shards of one sweep share none", r.Seed)
		}
		seen[r.Seed] = true
	}
	return nil
}
