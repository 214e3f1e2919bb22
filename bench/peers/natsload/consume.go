// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The consumer is an ordered one, as the library makes it: no acknowledgements, gaps are noticed and read again. It
// begins with what is new.
type consumer struct {
	load             *load
	received         atomic.Uint64
	progress         chan struct{}
	consuming        jetstream.ConsumeContext
	receivedInWindow uint64
	latency          histogram
}

const silence = 5 * time.Second // after which what is missing stays missing

func newConsumer(l *load, stream string) *consumer {
	c := &consumer{load: l, progress: make(chan struct{}, 1)}
	js, err := jetstream.New(l.connect())
	check(err)
	ordered, err := js.OrderedConsumer(context.Background(), stream, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy})
	check(err)
	// Asking waits until it is there: only then may the first message be published.
	_, err = ordered.Info(context.Background())
	check(err)
	c.consuming, err = ordered.Consume(c.take, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		fmt.Fprintln(os.Stderr, "natsload: consuming:", err)
	}))
	check(err)
	return c
}

func (c *consumer) take(m jetstream.Msg) {
	now, data := clock(), m.Data()
	if len(data) < stampSize || binary.LittleEndian.Uint64(data[8:]) != c.load.run {
		return
	}
	meant := binary.LittleEndian.Uint64(data)
	if c.load.inWindow(now) {
		c.receivedInWindow++
	}
	if c.load.inWindow(meant) {
		c.latency.record(now - min(now, meant))
		c.load.consumed.record(c.load, meant, now-min(now, meant))
	}
	c.received.Add(1)
	select {
	case c.progress <- struct{}{}:
	default:
	}
}

// end waits for so many messages of this run, while they come.
func (c *consumer) end(expected uint64) {
	for c.received.Load() < expected {
		select {
		case <-c.progress:
		case <-time.After(silence):
			expected = 0
		}
	}
	c.consuming.Stop()
	<-c.consuming.Closed()
}
