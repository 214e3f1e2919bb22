// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

// Each value lies in a slot that ends less than a thousandth above it, and slots follow each other without a gap.
func TestSlots(t *testing.T) {
	for ns := uint64(1); ns < hourNs; ns += ns/700 + 1 {
		slot := slotOf(ns)
		last := slotLast(slot)
		if last < ns || last-ns > max(511, ns/1000) {
			t.Fatalf("%d ns: slot %d ends at %d", ns, slot, last)
		}
		if slotOf(last) != slot || slotOf(last+1) != slot+1 {
			t.Fatalf("slot %d: its end %d lies in %d, what follows in %d", slot, last, slotOf(last), slotOf(last+1))
		}
	}
}

func TestPercentiles(t *testing.T) {
	var h histogram
	for i := uint64(1); i <= 100000; i++ {
		h.record(i * 1000)
	}
	for percent, want := range map[float64]uint64{50: 50000000, 99: 99000000, 99.99: 99990000, 100: 100000000} {
		got := h.percentile(percent)
		if got < want || got-want > want/1000 {
			t.Errorf("%v %%: %d, not %d", percent, got, want)
		}
	}
	var empty histogram
	if empty.percentile(50) != 0 || empty.mean() != 0 {
		t.Error("an empty histogram has a percentile")
	}
	// What is longer than an hour counts as an hour, but the longest is told.
	h.record(5 * hourNs)
	if h.max != 5*hourNs || h.percentile(100) < hourNs {
		t.Error("more than an hour")
	}
}
