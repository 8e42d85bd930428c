package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

// ready is the line that a child prints when its listeners accept.
type ready struct {
	Addrs []string `json:"addrs"`
}

// serveCommand is what the children run: fake workers, yardsticks, spinners. It
// prints one line, and ends when its standard input does, so that no child
// outlives the one who started it.
func serveCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	kind := flags.String("kind", "", "rest, reformat, grpc, rows-worker, raw, http, plain, rows, rows-ready or spin")
	count := flags.Int("count", 1, "how many fake workers")
	sizes := flags.String("sizes", "2", "batch sizes to answer for, comma-separated")
	workers := flags.String("workers", "", "addresses to fan out to, comma-separated")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ns, err := numbers(*sizes)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		// The read ends with the parent; what it says does not matter.
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	switch *kind {
	case "spin":
		if err := announce(nil); err != nil {
			return err
		}
		return spin(ctx.Done())
	case "rest", "reformat", "grpc", "rows-worker":
		return serveWorkers(ctx, *kind, *count, ns)
	default:
		return serveYardstick(ctx, *kind, strings.FieldsFunc(*workers, func(r rune) bool { return r == ',' }))
	}
}

func numbers(list string) ([]int, error) {
	var ns []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("-sizes: %q is no number above 0", field)
		}
		ns = append(ns, n)
	}
	return ns, nil
}

func announce(listeners []net.Listener) error {
	r := ready{Addrs: []string{}}
	for _, l := range listeners {
		r.Addrs = append(r.Addrs, l.Addr().String())
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func listen(ctx context.Context, count int) ([]net.Listener, error) {
	var all []net.Listener
	for range count {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func serveWorkers(ctx context.Context, kind string, count int, sizes []int) error {
	listeners, err := listen(ctx, count)
	if err != nil {
		return err
	}
	errs := make(chan error, count)
	var wg sync.WaitGroup
	for k, l := range listeners {
		wg.Go(func() {
			switch kind {
			case "grpc":
				errs <- serveGRPCWorker(ctx, l, k, sizes)
			case "rows-worker":
				errs <- serveRowsWorker(ctx, l, k)
			default:
				errs <- serveWorker(ctx, l, k, sizes, kind == "reformat")
			}
		})
	}
	// Connections wait in the listeners' queues until the answers are computed.
	if err := announce(listeners); err != nil {
		return err
	}
	wg.Wait()
	return <-errs
}

func serveYardstick(ctx context.Context, kind string, workers []string) error {
	listeners, err := listen(ctx, 1)
	if err != nil {
		return err
	}
	if err := announce(listeners); err != nil {
		return err
	}
	switch kind {
	case "raw":
		return serveRaw(ctx, listeners[0], workers)
	case "http":
		return serveHTTP(ctx, listeners[0], newBytesHTTP(workers))
	case "plain":
		return serveHTTP(ctx, listeners[0], &plainGo{workers: workers, transport: newTransport()})
	case "rows", "rows-ready":
		g, err := newRowsGateway(workers, kind == "rows-ready")
		if err != nil {
			return err
		}
		return errors.Join(serveHTTP(ctx, listeners[0], g), g.close())
	default:
		return fmt.Errorf("-kind: there is no %q", kind)
	}
}
