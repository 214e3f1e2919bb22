// SPDX-License-Identifier: Apache-2.0

// franz-go under load, with BROKERS TOPIC GROUP. What it takes and says is described in load.py.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func check(err error, what string) {
	if err != nil {
		fmt.Fprintln(os.Stderr, what+":", err)
		os.Exit(1)
	}
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == "github.com/twmb/franz-go" {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return ""
}

// say prints a line at once: several goroutines do.
func say(words ...any) {
	os.Stdout.WriteString(fmt.Sprintln(words...))
}

func tell(what string) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		for _, list := range partitions {
			for _, p := range list {
				say(what, p)
			}
		}
	}
}

func commit(client *kgo.Client, offsets map[string]map[int32]kgo.EpochOffset) {
	client.CommitOffsetsSync(context.Background(), offsets,
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
			if err != nil {
				say("refused", err)
				return
			}
			for _, t := range answer.Topics {
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
						say("refused", err)
					} else {
						say("committed", p.Partition, offsets[t.Topic][p.Partition].Offset)
					}
				}
			}
		})
}

func consume(client *kgo.Client, done chan<- struct{}) {
	defer close(done)
	for {
		fetches := client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		fetches.EachError(func(_ string, p int32, err error) { say("error", err, "of partition", p) })
		fetches.EachRecord(func(r *kgo.Record) { say("record", r.Partition, r.Offset, string(r.Value)) })
		if offsets := client.UncommittedOffsets(); len(offsets) > 0 {
			commit(client, offsets)
		}
		client.AllowRebalance()
	}
}

func main() {
	say("version", version())
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(os.Args[1], ",")...), kgo.ConsumeTopics(os.Args[2]),
		kgo.ConsumerGroup(os.Args[3]), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.OnPartitionsAssigned(tell("assigned")),
		kgo.OnPartitionsRevoked(tell("revoked")), kgo.OnPartitionsLost(tell("revoked")))
	check(err, "client")
	done := make(chan struct{})
	go consume(client, done)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		number, value, _ := strings.Cut(lines.Text(), " ")
		partition, err := strconv.Atoi(number)
		check(err, "a partition")
		record := &kgo.Record{Topic: os.Args[2], Partition: int32(partition), Value: []byte(value)}
		client.Produce(context.Background(), record, func(r *kgo.Record, err error) {
			if err != nil {
				say("failed", value, err)
			} else {
				say("acked", value, r.Offset)
			}
		})
	}
	check(client.Flush(context.Background()), "flush")
	client.CloseAllowingRebalance()
	<-done
}
