// SPDX-License-Identifier: Apache-2.0

package main

import "math/bits"

// The slots of common/base/histogram.h, so that figures of both programs have the same grain: log-linear, 1024 slots
// for each doubling (three digits), 512 ns at the finest, an hour at most. About 190 KiB, whatever is recorded.
const (
	unitBits  = 9
	half      = 1024
	doublings = 23
	hourNs    = 3600 * 1000000000
)

type histogram struct {
	count, max uint64 // max is exact
	sum        float64
	slots      [(doublings + 1) * half]uint64
}

func slotOf(ns uint64) int {
	u := min(ns, hourNs) >> unitBits
	if u < 2*half {
		return int(u)
	}
	shift := bits.Len64(u) - 11
	return shift*half + int(u>>shift)
}

// slotLast is the largest value of a slot.
func slotLast(slot int) uint64 {
	if slot < 2*half {
		return uint64(slot+1)<<unitBits - 1
	}
	shift := slot/half - 1
	return (uint64(slot-shift*half)+1)<<(shift+unitBits) - 1
}

func (h *histogram) record(ns uint64) {
	h.count++
	h.sum += float64(ns)
	h.max = max(h.max, ns)
	h.slots[slotOf(ns)]++
}

func (h *histogram) merge(from *histogram) {
	h.count += from.count
	h.sum += from.sum
	h.max = max(h.max, from.max)
	for i, n := range from.slots {
		h.slots[i] += n
	}
}

// percentile is the value that so many percent of all values do not exceed; 0 if there are none.
func (h *histogram) percentile(percent float64) uint64 {
	rank := max(1, uint64(percent/100*float64(h.count)+0.5))
	var seen uint64
	for slot, n := range h.slots {
		seen += n
		if seen >= rank {
			return min(slotLast(slot), h.max)
		}
	}
	return h.max
}

func (h *histogram) mean() float64 {
	if h.count == 0 {
		return 0
	}
	return h.sum / float64(h.count)
}
