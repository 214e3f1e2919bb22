// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// The report has the tables and the columns of leat-bench --json.
type report struct {
	load         *load
	server       string
	publishers   []*publisher
	consumer     *consumer
	begun, ended cost // of the window
}

type row = map[string]any

type totals struct{ sent, acked, failed uint64 }

func (r *report) total() (t totals) {
	for _, p := range r.publishers {
		t.sent += p.sent.Load()
		t.acked += p.acked.Load()
		t.failed += p.failed.Load()
	}
	return t
}

func clientVersion() string {
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if strings.HasSuffix(module.Path, "/nats.go") {
				return "nats.go " + module.Version
			}
		}
	}
	return "nats.go"
}

func (r *report) conditions(seconds float64) row {
	from := "the intended time"
	if r.load.rate == 0 {
		from = "the call (no rate: closed loop)"
	}
	publishing := "one by one"
	if r.load.fast {
		publishing = "fast ingest; acknowledgements count at the next message"
	}
	return row{
		"publishing": publishing,
		"protocol":   "NATS JetStream (not Kafka's)", "server": "nats-server " + r.server, "client": clientVersion(),
		"stream": r.load.stream, "storage": "file, one replica", "publishers": r.load.publishers, "size": r.load.size,
		"in flight": r.load.inFlight, "latency from": from, "seconds": seconds,
		"stolen cpu": (r.ended.stolen - r.begun.stolen) / seconds,
	}
}

func (r *report) throughput(seconds float64) row {
	var acked uint64
	for _, p := range r.publishers {
		acked += p.ackedInWindow
	}
	bytes := float64(acked) * float64(r.load.size)
	out := row{
		"offered/s": nil, "acked/s": float64(acked) / seconds, "MB/s": bytes / seconds / 1e6, "consumed/s": nil,
		"missing": nil, "failed": r.total().failed, "own cpu": (r.ended.own - r.begun.own) / seconds,
	}
	if r.load.rate > 0 {
		out["offered/s"] = r.load.rate
	}
	if r.consumer != nil {
		out["consumed/s"] = float64(r.consumer.receivedInWindow) / seconds
		out["missing"] = int64(r.total().sent-r.total().failed) - int64(r.consumer.received.Load())
	}
	if spent := r.ended.broker - r.begun.broker; r.load.pid != 0 && acked > 0 {
		out["broker cpu"] = spent / seconds
		out["broker s/GB"] = spent / (bytes / 1e9)
		out["broker s/M"] = spent / (float64(acked) / 1e6)
		out["rss MiB"] = float64(r.ended.brokerMemory) / (1 << 20)
	}
	return out
}

func latencyRow(name string, h *histogram) row {
	const ms = 1e6
	out := row{"latency ms": name, "count": h.count, "mean": h.mean() / ms, "max": float64(h.max) / ms}
	for _, percent := range []float64{50, 90, 99, 99.9, 99.99} {
		out[fmt.Sprintf("p%v", percent)] = float64(h.percentile(percent)) / ms
	}
	return out
}

func (r *report) print() {
	seconds := float64(r.ended.atNs-r.begun.atNs) / float64(second)
	var all histogram
	for _, p := range r.publishers {
		all.merge(&p.latency)
	}
	latency := []row{latencyRow("acknowledged", &all)}
	if r.consumer != nil {
		latency = append(latency, latencyRow("end to end", &r.consumer.latency))
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	check(out.Encode(row{
		"program": "natsload", "conditions": r.conditions(seconds), "throughput": []row{r.throughput(seconds)}, "latency": latency,
		"time": r.time(),
	}))
}
