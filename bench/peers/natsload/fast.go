// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// fastBatch publishes by fast ingest, which servers have since 2.14: all messages of a publisher are one batch without
// an end, and one acknowledgement stands for many. The library tells how far they reach when the next message is
// published, so that is when they count; at a low rate they came earlier.
type fastBatch struct {
	p     *publisher
	batch jetstreamext.FastPublisher
	queue []*nats.Msg // without an acknowledgement: a ring
	acked uint64      // messages
	sent  uint64
}

const fastMost = 2 * 65535 // the library's bound for what is not acknowledged

func newFastBatch(p *publisher) *fastBatch {
	// The server acknowledges every so many, and slows a publisher down by acknowledging fewer: never more are on their way.
	flow := max(1, p.load.inFlight/2)
	batch, err := jetstreamext.NewFastPublisher(p.js,
		jetstreamext.FastPublishFlowControl{Flow: uint16(flow), MaxOutstandingAcks: 2, AckTimeout: drainTime},
		jetstreamext.WithFastPublisherErrorHandler(func(err error) { p.refused(p.js, nil, err) }))
	check(err)
	return &fastBatch{p: p, batch: batch, queue: make([]*nats.Msg, 2*flow+2)}
}

func (f *fastBatch) publish(m *nats.Msg) {
	f.sent++
	f.queue[f.sent%uint64(len(f.queue))] = m
	ack, err := f.batch.AddMsg(m)
	if err != nil {
		fail("the batch of publisher %d is over: %v", f.p.number, err)
	}
	f.acknowledged(ack.AckSequence)
}

func (f *fastBatch) acknowledged(until uint64) {
	for f.acked < until {
		f.acked++
		f.p.acknowledged(f.p.js, f.queue[f.acked%uint64(len(f.queue))], nil)
	}
}

func (f *fastBatch) finish() {
	within, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if f.sent == 0 {
		return
	}
	if _, err := f.batch.Close(within); err != nil {
		fail("the batch of publisher %d cannot be closed: %v", f.p.number, err)
	}
	f.acknowledged(f.sent)
}
