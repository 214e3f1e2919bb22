// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"math/rand"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A publisher has a connection of its own and at most --in-flight messages without an acknowledgement. Message k of
// publisher i is meant for start + (k + i / publishers) / rate, whatever happened to those before it; while the window
// is full it waits, and what it then sends late counts from when it was meant to be sent.
type publisher struct {
	load    *load
	number  int
	js      jetstream.JetStream
	subject string
	free    chan *nats.Msg // acknowledged, to be sent again with another stamp
	random  *rand.Rand

	sent, acked, failed atomic.Uint64
	once                sync.Once
	failure             error // the first
	// What the acknowledgements say; one goroutine writes it.
	ackedInWindow uint64
	latency       histogram // of messages meant for the window
}

const stampSize = 16 // when it was meant to be sent, and the number of the run; 8 bytes each, little endian

const drainTime = time.Minute

func newPublisher(l *load, number int) *publisher {
	p := &publisher{load: l, number: number, subject: l.subject(), free: make(chan *nats.Msg, l.inFlight), random: rand.New(rand.NewSource(int64(number) + 1))}
	var err error
	p.js, err = jetstream.New(l.connect(), jetstream.WithPublishAsyncMaxPending(l.inFlight),
		jetstream.WithPublishAsyncAckHandler(p.acknowledged), jetstream.WithPublishAsyncErrHandler(p.refused))
	check(err)
	return p
}

func (p *publisher) acknowledged(_ jetstream.JetStream, m *nats.Msg, _ *jetstream.PubAck) {
	now := clock()
	meant := binary.LittleEndian.Uint64(m.Data)
	p.acked.Add(1)
	if p.load.inWindow(now) {
		p.ackedInWindow++
	}
	if p.load.inWindow(meant) {
		p.latency.record(now - min(now, meant))
		p.load.acked.record(p.load, meant, now-min(now, meant))
	}
	select {
	case p.free <- m:
	default:
	}
}

func (p *publisher) refused(_ jetstream.JetStream, _ *nats.Msg, err error) {
	p.failed.Add(1)
	p.once.Do(func() { p.failure = err })
}

// message is one that was acknowledged, or a new one: half of the bits of its data are random.
func (p *publisher) message() *nats.Msg {
	select {
	case m := <-p.free:
		return m
	default:
	}
	m := &nats.Msg{Subject: p.subject, Data: make([]byte, p.load.size)}
	for i := range m.Data {
		m.Data[i] = 'a' + byte(p.random.Intn(16))
	}
	return m
}

func (p *publisher) intended(number uint64) uint64 {
	share := float64(number) + float64(p.number)/float64(p.load.publishers)
	return p.load.startNs + uint64(share*float64(p.load.publishers)/p.load.rate*float64(second))
}

// How messages are published: run() calls publish for each, then finish, which waits for the acknowledgements.
type way interface {
	publish(m *nats.Msg)
	finish()
}

// oneByOne publishes each message by itself, with an acknowledgement of its own.
type oneByOne struct {
	p *publisher
}

func (o oneByOne) publish(m *nats.Msg) {
	if _, err := o.p.js.PublishMsgAsync(m, jetstream.WithStallWait(drainTime)); err != nil {
		o.p.refused(o.p.js, m, err)
	}
}

func (o oneByOne) finish() {
	select {
	case <-o.p.js.PublishAsyncComplete():
	case <-time.After(drainTime):
		fail("%d messages are not acknowledged after %v", o.p.js.PublishAsyncPending(), drainTime)
	}
}

func (p *publisher) run() {
	var way way = oneByOne{p}
	if p.load.fast {
		way = newFastBatch(p)
	}
	waitUntil(p.load.startNs)
	for number := uint64(0); ; number++ {
		now := clock()
		meant := now
		if p.load.rate > 0 {
			meant = p.intended(number)
		}
		if meant >= p.load.endNs {
			break
		}
		for meant > now {
			waitUntil(meant)
			now = clock()
		}
		m := p.message()
		binary.LittleEndian.PutUint64(m.Data, meant)
		binary.LittleEndian.PutUint64(m.Data[8:], p.load.run)
		p.sent.Add(1)
		way.publish(m)
	}
	way.finish()
}
