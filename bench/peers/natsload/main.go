// SPDX-License-Identifier: Apache-2.0

// natsload: an open loop on NATS JetStream, in the manner of leat-bench: messages have a time that they are meant for,
// and latency counts from there. The protocol is NATS's own and the client its official one for Go, so figures are
// those of another client than leat's and Kafka's: compare what brokers spend before comparing rates.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

type load struct {
	url, stream                     string
	rate                            float64
	size, publishers, inFlight, pid int
	seconds, warmup                 float64
	consume, fast                   bool
	run, startNs, windowNs, endNs   uint64 // the schedule's start; the window's start and end
	acked, consumed                 *series
}

const leadNs = 20 * uint64(time.Millisecond) // from the start of the goroutines to the first message's time

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "natsload: "+format+"\n", values...)
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func (l *load) inWindow(ns uint64) bool {
	return ns >= l.windowNs && ns < l.endNs
}

func (l *load) subject() string {
	return l.stream + ".records"
}

func (l *load) connect() *nats.Conn {
	connection, err := nats.Connect(l.url)
	check(err)
	return connection
}

// makeStream: on disk, one replica; all else as the server has it.
func (l *load) makeStream() (server string) {
	connection := l.connect()
	defer connection.Close()
	js, err := jetstream.New(connection)
	check(err)
	within, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	_, err = js.CreateOrUpdateStream(within, jetstream.StreamConfig{
		Name: l.stream, Subjects: []string{l.subject()}, Storage: jetstream.FileStorage, AllowBatchPublish: l.fast,
	})
	check(err)
	return connection.ConnectedServerVersion()
}

func options() *load {
	l := &load{}
	flag.StringVar(&l.url, "url", nats.DefaultURL, "of the server")
	flag.StringVar(&l.stream, "stream", "bench", "made if it is missing: on disk, one replica")
	flag.Float64Var(&l.rate, "rate", 1000, "messages per second in all; 0: as fast as possible")
	flag.IntVar(&l.size, "size", 1024, "bytes of a message")
	flag.Float64Var(&l.seconds, "seconds", 10, "of the measurement")
	flag.Float64Var(&l.warmup, "warmup", 2, "seconds before it")
	flag.IntVar(&l.publishers, "publishers", 1, "each with a connection of its own")
	flag.IntVar(&l.inFlight, "in-flight", 1000, "messages of each publisher without an acknowledgement")
	flag.BoolVar(&l.consume, "consume", false, "read it all back, and time it end to end")
	flag.BoolVar(&l.fast, "fast", false, "publish by fast ingest: one batch without an end")
	flag.IntVar(&l.pid, "pid", 0, "the server's process, for its cost")
	flag.Parse()
	switch {
	case flag.NArg() > 0:
		l.refuse("there is no argument %q", flag.Arg(0))
	case l.size < stampSize || l.size > 64<<20:
		l.refuse("--size: 16 bytes (the stamp) to 64 MiB")
	case l.publishers < 1 || l.publishers > 256:
		l.refuse("--publishers: 1 to 256")
	case l.inFlight < 1 || l.inFlight > 1000000:
		l.refuse("--in-flight: 1 to 1000000")
	case l.fast && l.inFlight > fastMost:
		l.refuse("--in-flight: with --fast at most %d", fastMost)
	case l.rate < 0 || !(l.rate <= 1e8):
		l.refuse("--rate: 0 to 100 million")
	case !(l.seconds > 0 && l.seconds <= 86400) || !(l.warmup >= 0 && l.warmup <= 86400):
		l.refuse("--seconds, --warmup: at most a day")
	}
	return l
}

func (l *load) refuse(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "natsload: "+format+"\n", values...)
	os.Exit(2)
}

func main() {
	l := options()
	exactSleep()
	l.run = clock() ^ uint64(os.Getpid())<<48
	report := report{load: l, server: l.makeStream()}
	for i := range l.publishers {
		report.publishers = append(report.publishers, newPublisher(l, i))
	}
	if l.consume {
		report.consumer = newConsumer(l, l.stream)
	}
	l.startNs = clock() + leadNs
	l.windowNs = l.startNs + uint64(l.warmup*float64(second))
	l.endNs = l.windowNs + uint64(l.seconds*float64(second))
	l.acked, l.consumed = newSeries(l), newSeries(l)

	var running sync.WaitGroup
	for _, p := range report.publishers {
		running.Go(p.run)
	}
	waitUntil(l.windowNs)
	report.begun = costNow(l.pid)
	report.watch()
	report.ended = costNow(l.pid)
	running.Wait()
	if l.consume {
		report.consumer.end(report.total().sent - report.total().failed)
	}
	report.print()
	for _, p := range report.publishers {
		if p.failure != nil {
			fail("publisher %d: %d messages were refused; the first: %v", p.number, p.failed.Load(), p.failure)
		}
	}
}
