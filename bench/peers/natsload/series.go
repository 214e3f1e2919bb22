// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sync/atomic"
	"time"
)

// series has the table "time" of bench/load/series.h: a row for each second of the window, with the latencies of the
// messages that were meant for it. Goroutines share it without a lock; memory is taken where a slot is used.
type series struct {
	rows  [][]atomic.Uint32 // slot -> count
	max   []atomic.Uint64
	rates []float64 // -1: nobody counted
}

const seriesRowsMost = 3600 // a longer window has rows of several whole seconds

func newSeries(l *load) *series {
	rows := int((l.endNs - l.windowNs + l.rowNs() - 1) / l.rowNs())
	s := &series{rows: make([][]atomic.Uint32, rows), max: make([]atomic.Uint64, rows), rates: make([]float64, rows)}
	for i := range s.rows {
		s.rows[i] = make([]atomic.Uint32, (doublings+1)*half)
		s.rates[i] = -1
	}
	return s
}

func (l *load) rowNs() uint64 {
	seconds := (l.endNs - l.windowNs + second - 1) / second
	return (seconds + seriesRowsMost - 1) / seriesRowsMost * second
}

// record is for messages meant for the window.
func (s *series) record(l *load, meant, ns uint64) {
	row := (meant - l.windowNs) / l.rowNs()
	s.rows[row][slotOf(ns)].Add(1)
	for most := s.max[row].Load(); ns > most && !s.max[row].CompareAndSwap(most, ns); {
		most = s.max[row].Load()
	}
}

// watch counts what each row has acknowledged and consumed; it returns at the end of the window.
func (r *report) watch() {
	l := r.load
	counts := func() (uint64, uint64, uint64) {
		var received uint64
		if r.consumer != nil {
			received = r.consumer.received.Load()
		}
		return clock(), r.total().acked, received
	}
	at, acked, received := counts()
	for row := range l.acked.rates {
		begun := l.windowNs + uint64(row)*l.rowNs()
		end := min(begun+l.rowNs(), l.endNs)
		for clock() < end {
			waitUntil(end)
		}
		nowAt, nowAcked, nowReceived := counts()
		passed := time.Duration(nowAt - at).Seconds()
		if 2*(nowAt-at) > end-begun {
			l.acked.rates[row] = float64(nowAcked-acked) / passed
			l.consumed.rates[row] = float64(nowReceived-received) / passed
		}
		at, acked, received = nowAt, nowAcked, nowReceived
	}
}

// figures are p50, p99 and max in ms; nil where the row is empty.
func (s *series) figures(row int) (p50, p99, most any) {
	const ms = 1e6
	var h histogram
	for slot := range s.rows[row] {
		n := uint64(s.rows[row][slot].Load())
		h.slots[slot] = n
		h.count += n
	}
	h.max = s.max[row].Load()
	if h.count == 0 {
		return nil, nil, nil
	}
	return float64(h.percentile(50)) / ms, float64(h.percentile(99)) / ms, float64(h.max) / ms
}

func (s *series) rate(row int) any {
	if s.rates[row] < 0 {
		return nil
	}
	return s.rates[row]
}

func (r *report) time() []row {
	l := r.load
	var out []row
	for i := range l.acked.rows {
		line := row{"second": float64(uint64(i)*l.rowNs()) / float64(second), "acked/s": l.acked.rate(i),
			"consumed/s": nil, "end p50": nil, "end p99": nil, "end max": nil}
		line["p50"], line["p99"], line["max"] = l.acked.figures(i)
		if r.consumer != nil {
			line["consumed/s"] = l.consumed.rate(i)
			line["end p50"], line["end p99"], line["end max"] = l.consumed.figures(i)
		}
		out = append(out, line)
	}
	return out
}
